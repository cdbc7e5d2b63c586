import { expect, test } from 'vitest';
import { testServerUrl } from '../packages/plinth/src/testing/database.ts';
import { needs } from '../packages/plinth/src/testing/needs.ts';
import { withClient } from '../packages/plinth/src/testing/test-run.ts';
import { chaos } from './jobs/chaos.ts';

/** A server of its own, because it is crashed; of the version that the other tests run on. */
async function programFolder(): Promise<string | undefined> {
  const version = await withClient(testServerUrl(), async (client) => {
    const { rows } = await client.query<{ version: number }>(`select current_setting('server_version_num')::int / 10000 as version`);
    return rows[0]?.version;
  });
  return version === 15 ? needs('postgres15').at : undefined;
}

test('jobs are not lost, have their effects once and cannot be completed by zombies, whatever is killed, stopped, cut or crashed', {
  timeout: 180_000,
}, async () => {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  console.log(`jobs chaos: seed ${seed} (PLINTH_SEED=${seed} repeats the choices, though not the schedule)`);
  const result = await chaos({ jobs: 1_000, faults: 4, seed, leaseMs: 1_500, drainMs: 60_000, programFolder: await programFolder() });
  console.log(JSON.stringify(result));
  expect(result.enqueued).toBeGreaterThanOrEqual(1_000);
  expect(result).toMatchObject({ lost: 0, twice: 0, zombies: 0, unbalanced: 0, kills: 1, stops: 1, cuts: 1, crashes: 1 });
  expect(result.completed).toBe(result.enqueued);
});
