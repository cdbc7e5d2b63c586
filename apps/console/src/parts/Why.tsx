import type { ReactNode } from 'react';
import type { ListMeta, Row } from '../api/types.ts';
import { useExplanation } from '../session.tsx';
import { isReady } from './Actions.tsx';
import { Time } from './Time.tsx';
import { Trouble } from './Trouble.tsx';

/** What the module says of a row besides its columns: what holds it, and until when. */
export function Why({ meta, row, everyMs }: { meta: ListMeta; row: Row; everyMs: number | false }): ReactNode {
  const explain = meta.explain && isReady(row, meta.explain) ? meta.explain : undefined;
  const asked = useExplanation(explain?.procedure, row, everyMs);
  if (!explain) return null;
  const { sentence, obstacles = [], expected_at: expected } = asked.data ?? {};
  // The sentence is that of the first obstacle, where there is one.
  const told = obstacles.length > 0 ? obstacles : [{ sentence: sentence ?? '', until: undefined }];
  return (
    <section aria-labelledby="why" className="mb-4">
      <h2 id="why" className="pb-1.5 font-semibold">
        {explain.title}
      </h2>
      {asked.error && !asked.data ? (
        <Trouble error={asked.error} retry={() => void asked.refetch()} />
      ) : (
        <div className="card flex flex-col gap-1 px-4 py-3">
          {told.map(({ sentence: text, until }) => (
            <p key={text}>
              {asked.data ? text : 'Loading…'}
              {until ? (
                <>
                  {' '}
                  <span className="text-soft">Until</span> <Time at={until} full />
                </>
              ) : null}
            </p>
          ))}
          {expected ? (
            <p className="text-soft">
              It can start <Time at={expected} full />
            </p>
          ) : null}
        </div>
      )}
    </section>
  );
}
