/** `npm run bench -- feed-look [--rounds 5]`: what a follower of the log waits for a look that finds nothing, with and without prepared statements. */
import { createPlinth } from '../packages/plinth/src/index.ts';
import { readLivePage, readLogState } from '../packages/plinth/src/modules/events/live.ts';
import type { BenchContext, Report } from './harness.ts';
import { interleave, median, ratio, rowsOf, timeOf } from './harness.ts';

const LOOKS = 40;
/** Followers are idle between two looks, and so is the server: what is in no cache any more is part of the wait. */
const APART_MS = 30;

export async function run({ plinth, serverUrl, rounds }: BenchContext): Promise<Report> {
  const unprepared = createPlinth({ database: { url: serverUrl, prepare: false } });
  const { snapshot, above } = await plinth.asWorker({}, readLogState);
  const looks = async (of: typeof plinth): Promise<number> => {
    const times: number[] = [];
    for (let nth = 0; nth < LOOKS; nth++) {
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
      times.push(await timeOf(() => readLivePage(of as unknown as Parameters<typeof readLivePage>[0], { s1: snapshot, last: '0' }, above, 500)));
    }
    return median(times);
  };
  try {
    const results = await interleave(rounds, { prepared: () => looks(plinth), 'nothing prepared': () => looks(unprepared) });
    return {
      name: 'feed-look',
      title: 'feed-look: a look at the log that finds nothing',
      settings: [`${LOOKS} looks a round, ${APART_MS} ms apart; partitions of a new installation`],
      rows: rowsOf(results, 'ms'),
      bars: [{ what: 'a look, nothing prepared over prepared', value: ratio(results, 'nothing prepared', 'prepared'), atLeast: 1 }],
    };
  } finally {
    await unprepared.close();
  }
}
