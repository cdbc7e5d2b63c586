/** plinth events export and plinth keys rewrap, as their users call them. */
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createKeyRing, createPlinth } from '../../packages/plinth/src/index.ts';
import { testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { startCommand } from './command.ts';

const database = await testDatabase('cli events');
afterAll(() => database.drop());
const url = { PLINTH_DATABASE_URL: database.serverUrl };

test('event types are written as a file, and what cannot be is said', async () => {
  await database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
    tx.query(`select plinth.define_event_type('order.paid', '{"type": "object", "properties": {"cents": {"type": "integer"}}}')`),
  );
  const out = join(tmpdir(), `plinth-events-${process.pid}.ts`);
  const written = await startCommand(['events', 'export', '--format', 'typescript', '--tenant', 'tenant-a', '--out', out], url).ended;
  expect(written.code).toBe(0);
  expect(await readFile(out, 'utf8')).toContain('export interface OrderPaid {\n  cents?: number;\n}');
  await rm(out);
  const printed = await startCommand(['events', 'export', '--tenant', 'tenant-b'], url).ended;
  expect(JSON.parse(printed.stdout)).toMatchObject({ asyncapi: '3.1.0', channels: {} });
  expect(printed.stderr).toContain('There are no event types for tenant-b.');
  expect(await startCommand(['events', 'export', '--format', 'xml'], url).ended).toMatchObject({ code: 2 });
  expect(await startCommand(['events', 'export', '--tenant', 'nobody'], url).ended).toMatchObject({ code: 2 });
}, 120_000);

test('keys are wrapped under a new master key', async () => {
  const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const plinth = createPlinth({ database: { url: database.serverUrl, max: 1 }, keys: createKeyRing({ current: old }) });
  await plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
    await tx.query(`select plinth.define_event_type('user.joined', '{"x-subject": "/id", "properties": {"name": {"x-personal": true}}}')`);
    tx.events.publish('user.joined', { id: 'u-1', name: 'Ada' });
  });
  await plinth.close();
  const ended = await startCommand(['keys', 'rewrap', '--json'], { ...url, PLINTH_MASTER_KEY: fresh, PLINTH_MASTER_KEY_OLD: old }).ended;
  expect(JSON.parse(ended.stdout)).toEqual({ rewrapped: 1, master: createKeyRing({ current: fresh }).current });
  expect(await startCommand(['keys', 'rewrap'], url).ended).toMatchObject({ code: 2 });
}, 120_000);
