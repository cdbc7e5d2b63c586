import type { ReactNode } from 'react';
import { plural } from '../format.ts';
import { type Change, diff } from './diff.ts';

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function Line({ change }: { change: Change }): ReactNode {
  return (
    <tr className="border-t border-line align-top first:border-t-0">
      <th scope="row" className="py-1.5 pr-3 pl-3 text-left font-mono text-xs font-normal break-all text-soft">
        {change.path}
      </th>
      <td className="py-1 pr-2 font-mono text-xs">
        {change.kind === 'added' ? null : (
          <del className="block rounded bg-bad-soft px-1.5 break-all whitespace-pre-wrap text-bad no-underline">
            <span aria-hidden="true">− </span>
            {shown(change.before)}
          </del>
        )}
        {change.kind === 'removed' ? null : (
          <ins className="mt-px block rounded bg-ok-soft px-1.5 break-all whitespace-pre-wrap text-ok no-underline">
            <span aria-hidden="true">+ </span>
            {shown(change.after)}
          </ins>
        )}
      </td>
    </tr>
  );
}

/** Before and after, field by field: taken away with a minus, added with a plus. */
export function Diff({ before, after }: { before: unknown; after: unknown }): ReactNode {
  const { changes, same } = diff(before, after);
  if (changes.length === 0) return <p className="text-soft">Before and after are the same.</p>;
  return (
    <div className="overflow-hidden rounded-md border border-line">
      <table className="w-full table-fixed">
        <caption className="sr-only">What changed</caption>
        <colgroup>
          <col className="w-2/5" />
          <col />
        </colgroup>
        <thead className="sr-only">
          <tr>
            <th scope="col">Field</th>
            <th scope="col">Before and after</th>
          </tr>
        </thead>
        <tbody>
          {changes.map((change) => (
            <Line key={change.path} change={change} />
          ))}
        </tbody>
      </table>
      {same > 0 ? <p className="border-t border-line bg-ground px-3 py-1 text-xs text-soft">{plural(same, 'field')} unchanged</p> : null}
    </div>
  );
}
