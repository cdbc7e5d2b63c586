import { afterAll, afterEach, expect, test } from 'vitest';
import { createLog } from '#kernel/log.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { testDatabase } from '#testing/database.ts';
import { whileCompatible } from './compatible.ts';
import { startWorker } from './index.ts';

const database = await testDatabase('compatible');
const { plinth, tenantA, admin } = database;
afterAll(() => database.drop());

const migrate = (module: string, breaking: boolean) =>
  admin.query(`insert into plinth_kernel.migrations (module, number, name, checksum, breaking, took_ms) values ($1, 9000, '9000_of_later', 'x', $2, 0)`, [
    module,
    breaking,
  ]);
const migrateBack = () => admin.query('delete from plinth_kernel.migrations where number = 9000');
afterEach(migrateBack);

/** A machine may be busy with other tests. */
const patience = { timeout: 30_000 };
const newer = { code: 'kernel_schema_newer', message: expect.stringContaining('jobs/9000_of_later') };

test('a worker does nothing on a database that a newer, incompatible version has migrated, says so, and begins when it may', { timeout: 120_000 }, async () => {
  await migrate('jobs', true);
  const logged: string[] = [];
  const log = createLog({ level: 'warn', destination: { write: (line) => void logged.push(line) } });
  let ran = 0;
  const handlers = { 'later.on': { summary: 'Counts', handler: async () => void (ran += 1) } };
  const job = await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.jobs.enqueue('later.on'));
  const worker = startWorker({ plinth, handlers, services: { log }, pollMs: 50 });
  try {
    const refused = () => logged.filter((line) => line.includes('kernel_schema_newer') && line.includes('"loop":"announce"')).length;
    await expect.poll(refused, patience).toBeGreaterThan(1);
    expect(ran).toBe(0);
    expect((await admin.query('select from plinth_jobs.claims')).rowCount).toBe(0);
    await migrateBack();
    await expect.poll(() => ran, patience).toBe(1);
    await expect
      .poll(async () => (await admin.query('select status from plinth.background_jobs where id = $1', [job])).rows)
      .toEqual([{ status: 'completed' }]);
  } finally {
    await worker.stop();
  }
});

test('one that runs stops claiming when that happens, lets handlers end, and goes on when it may; what is not breaking, or not of its modules, is no reason', async () => {
  const guarded = whileCompatible(plinth as unknown as Plinth<ModuleMap>, 0);
  const claim = () => guarded.asWorker({}, async () => 'claimed');
  const question = { text: 'select 1 as n', values: [] };
  expect([await claim(), await guarded.lookAsWorker(question)]).toEqual(['claimed', [{ n: 1 }]]);
  await migrate('jobs', false);
  await migrate('somebodys', true);
  expect(await claim()).toBe('claimed');
  await migrateBack();
  await migrate('jobs', true);
  await expect(claim()).rejects.toMatchObject(newer);
  await expect(guarded.lookAsWorker(question)).rejects.toMatchObject(newer);
  expect(await guarded.transaction({ tenantId: tenantA }, async () => 'ended')).toBe('ended');
  await migrateBack();
  expect(await claim()).toBe('claimed');
});

test('a worker beside whose code the SQL of a module is missing, as in a copy of the files that a program seems to need, refuses to start', () => {
  const { plinth } = database;
  const sql = new URL('nowhere/', import.meta.url);
  const part = { ...plinth, modules: { ...plinth.modules, audit: { ...plinth.modules.audit, sql } } };
  expect(() => startWorker({ plinth: part })).toThrow(expect.objectContaining({ code: 'kernel_files_missing', detail: { module: 'audit' } }));
});
