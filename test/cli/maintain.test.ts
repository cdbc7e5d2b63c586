import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { retentionPlace } from '../../packages/plinth/src/kernel/retention/retention.fixture.ts';
import { testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command } from './command.ts';

const timeout = 120_000;
const database = await testDatabase('cli maintain');
const place = await retentionPlace(database);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-cli-maintain-'));
  await writeFile(join(folder, 'archive'), 'a file where the folder of the archives should be');
  await place.makeMonth('2010-01-15');
  await place.addEntries(database.tenantA, '2010-01-15', 3);
  await place.makeMonth('2010-02-15');
  await place.addEntries(database.tenantB, '2010-02-15', 3);
  await place.hold(database.tenantB, 'matter 7');
});
afterAll(async () => {
  await place.dispose();
  await rm(folder, { recursive: true, force: true });
});

test('plinth maintain says what it could not do, and what stays and why', { timeout }, async () => {
  const { code, stdout } = await command(['maintain', 'retention'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_DATA_DIR: folder });
  expect(code).toBe(1);
  expect(stdout).toMatch(/failed: 0 partitions made, 0 dropped/);
  expect(stdout).toMatch(/plinth_audit\.entries_2010_02 stays: held for tenant .*matter 7/);
  expect(stdout).toMatch(/✘ plinth_audit\.entries_2010_01: .*(EEXIST|ENOTDIR)/);
});
