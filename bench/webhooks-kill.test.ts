/** The short run of `npm run bench -- webhooks-kill`: ten kills. */
import { expect, test } from 'vitest';
import { testServerUrl } from '../packages/plinth/src/testing/database.ts';
import { needs } from '../packages/plinth/src/testing/needs.ts';
import { withClient } from '../packages/plinth/src/testing/test-run.ts';
import { killRun } from './webhooks/kill.ts';

/** A server of its own, because it is crashed; of the version that the other tests run on. */
async function programFolder(): Promise<string | undefined> {
  const version = await withClient(testServerUrl(), async (client) => {
    const { rows } = await client.query<{ version: number }>(`select current_setting('server_version_num')::int / 10000 as version`);
    return rows[0]?.version;
  });
  return version === 15 ? needs('postgres15').at : undefined;
}

test('whatever is killed, every event arrives, and what arrives twice was in flight and has the same webhook-id', { timeout: 300_000 }, async () => {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  console.log(`webhooks kill: seed ${seed} (PLINTH_SEED=${seed} repeats the choices, though not the schedule)`);
  const result = await killRun({ kills: 10, workers: 2, seed, windowMs: 60_000, programFolder: await programFolder() });
  console.log(JSON.stringify(result));
  expect(result).toMatchObject({ lost: 0, unkept: 0, ghosts: 0, unverified: 0, renamed: 0, late: 0, quietTwice: 0, settledTwice: 0, inverted: 0 });
  expect(result).toMatchObject({ workers: 7, servers: 2, crashes: 1 });
  expect(result.events).toBeGreaterThan(0);
});
