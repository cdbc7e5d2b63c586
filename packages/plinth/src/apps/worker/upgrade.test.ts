/** `plinth migrate up` of another version, again and again, beside servers and workers that were started before: nobody is refused, and nothing is lost or done twice. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { migrateUp } from '#kernel/migrate/index.ts';
import type { AnyModule, ModuleMap } from '#kernel/module.ts';
import { modules } from '#registry';
import { drawnRuns } from '#testing/random.ts';
import { CrashingWorld, placeOrder, placeSchedule, receiveOrders } from './crash.fixture.ts';
import { breath, faultsInTheEnd } from './crash-faults.fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-upgrade-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Functions that are called all the time, by processes and by each other. */
const CHANGED: Record<string, readonly string[]> = {
  jobs: ['beat', 'promote', 'claim_lanes', 'peek', 'complete', 'settle', 'close_claims', 'write_bulk'],
  queue: ['take', 'tidy', 'take_ready', 'send_messages'],
  events: ['write_rows', 'write_one'],
};

/** The same modules, of another version: these functions have a parameter more, so that they are dropped and made. */
function otherVersion(): ModuleMap {
  const changed = Object.entries(CHANGED).map(([name, functions]): [string, AnyModule] => {
    const to = join(folder, name);
    cpSync(fileURLToPath(new URL(`../../modules/${name}/sql`, import.meta.url)), to, { recursive: true });
    for (const one of functions) {
      const file = join(to, 'functions', `${one}.sql`);
      const text = readFileSync(file, 'utf8');
      const more = (_: string, head: string, between: string) => `${head}${head.endsWith('(') ? '' : ', '}p_more boolean default null)${between}`;
      const made = text
        .replace(/(create or replace function [\s\S]*?)\)(\s*returns)/, more)
        .replace(/(comment on function [^;]*?)\)(\s+is)/, (_, head: string, between: string) => `${head}${head.endsWith('(') ? '' : ', '}boolean)${between}`);
      expect(made, one).not.toBe(text);
      writeFileSync(file, made);
    }
    return [name, { ...(modules as ModuleMap)[name], sql: pathToFileURL(`${to}/`) } as AnyModule];
  });
  return { ...modules, ...Object.fromEntries(changed) };
}

test('functions are dropped and made while they are called: nobody is refused, and everything happens once', { timeout: 300_000 }, async () => {
  await using world = await CrashingWorld.make();
  const writer = world.plinth();
  await world.startWorkers(2);
  const [over, done] = [new AbortController(), new AbortController()];
  using ended = new DisposableStack();
  for (const one of [over, done]) ended.defer(() => one.abort());
  const refused: unknown[] = [];
  let placed = 0;
  const writing = world.tenants.flatMap((tenantId, of) =>
    ['x', 'y'].map(async (name) => {
      for (let n = 1; !over.signal.aborted; n++) {
        const began = performance.now();
        await placeOrder(writer, tenantId, `${name}${of}`, n).then(
          () => (placed += 1),
          (error: { code?: unknown; cause?: { code?: unknown; message?: string }; message: string }) =>
            refused.push([error.code, error.message, error.cause?.code, error.cause?.message]),
        );
        await breath(began, 200, over.signal);
      }
    }),
  );
  const receiving = world.tenants.map((tenantId) => receiveOrders(world.plinth(), tenantId, done.signal));
  const other = otherVersion();
  for (let n = 0; n < drawnRuns(1); n++) {
    const before = placed;
    await placeSchedule(writer, world.tenants[n % 2] ?? '', `s${n}`);
    expect((await migrateUp({ url: world.url, modules: n % 2 ? modules : other })).repeatables).toBe(true);
    await expect.poll(() => placed).toBeGreaterThan(before + 10);
  }
  over.abort();
  await Promise.all(writing);
  const found = await faultsInTheEnd(world);
  done.abort();
  await Promise.all(receiving);
  expect(refused).toEqual([]);
  expect(found).toEqual({});
});
