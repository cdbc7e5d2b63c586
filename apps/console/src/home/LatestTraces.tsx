import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { Icon } from '../parts/icons.tsx';
import { Status } from '../parts/Status.tsx';
import { Time } from '../parts/Time.tsx';
import { TraceLink } from '../parts/Value.tsx';
import type { LatestStory } from './latest.ts';

function StoryLine({ story }: { story: LatestStory }): ReactNode {
  return (
    <tr className="relative border-b border-line last:border-b-0 hover:bg-sunken">
      <td className="w-px py-1.5 pr-3 pl-4 text-soft">
        <Time at={story.at} />
      </td>
      <td className="px-3">
        <Link to="/trace/$id" params={{ id: story.id }} className="font-medium after:absolute after:inset-0 hover:text-accent">
          {story.title}
        </Link>
      </td>
      <td className="max-w-80 truncate px-3 text-soft">{[...story.parts].map(([title, count]) => (count > 1 ? `${title} ${count}` : title)).join(' · ')}</td>
      <td className="px-3">{story.failures > 0 ? <Status value="failed" /> : null}</td>
      <td className="w-px px-3 pr-4">
        <TraceLink id={story.id} />
      </td>
    </tr>
  );
}

const head = 'border-b border-line bg-ground px-3 py-2 text-left text-xs font-medium text-soft first:pl-4 last:pr-4';

/** Stories of the newest records. */
export function LatestTraces({ stories, settled }: { stories: readonly LatestStory[]; settled: boolean }): ReactNode {
  return (
    <section aria-labelledby="traces" className="mt-6">
      <h2 id="traces" className="flex items-center gap-1.5 pb-2 font-semibold">
        <Icon name="trace" /> Latest traces
      </h2>
      {stories.length > 0 ? (
        <div className="card overflow-x-auto">
          <table className="w-full">
            <thead>
              <tr>
                <th scope="col" className={head}>
                  When
                </th>
                <th scope="col" className={head}>
                  Began with
                </th>
                <th scope="col" className={head}>
                  Records
                </th>
                <th scope="col" className={head}>
                  State
                </th>
                <th scope="col" className={head}>
                  Trace
                </th>
              </tr>
            </thead>
            <tbody>
              {stories.map((story) => (
                <StoryLine key={story.id} story={story} />
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <div className="card px-6 py-10 text-center">
          <p className="font-medium">{settled ? 'No stories yet' : 'Loading…'}</p>
          {settled ? <p className="mt-1 text-soft">Run the demo order above, or write with a correlation id from your application.</p> : null}
        </div>
      )}
    </section>
  );
}
