import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTitle } from '../title.ts';

/** The API does not tell what it does not show. */
export const noList = 'Your credential may lack the permission to read it, or the address is old or from an installation with other modules.';

export const noRecord = 'It was deleted, or retired by its retention policy, or it belongs to another tenant than the one you look into.';

/** For addresses that lead nowhere. `what` says what was looked for. */
export function MissingPage({ what = 'There is no such page', why = 'The address may be old, or from an installation with other modules.' }): ReactNode {
  useTitle('Not found');
  return (
    <div className="mx-auto max-w-xl py-16 text-center">
      <h1 className="text-lg font-semibold">{what}</h1>
      <p className="mt-1 text-soft">{why}</p>
      <p className="mt-4">
        <Link to="/" className="btn">
          To the first page
        </Link>
      </p>
    </div>
  );
}
