import type pg from 'pg';
import { clientBeside } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { listenForWakes } from '#kernel/wake.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { Member } from './member.ts';

const RETRY_MS = 1_000;
const LIFE_SIGN_MS = 30_000;

/**
 * Hears the hints of other processes on a connection of its own, and opens another when that one is lost. Without it everything
 * still happens, at the pace of polling. It needs a session: behind a pooler in transaction mode, turn it off.
 */
export function startListener(plinth: Plinth<ModuleMap>, log: WorkServices['log'], member: Pick<Member, 'sessionLock' | 'sessionHeld'>): Loop {
  let client: pg.Client | undefined;
  const drop = (): void => {
    const old = client;
    client = undefined;
    old?.end().catch(() => {});
  };
  const loop = startLoop({
    name: 'listen',
    log,
    wake: plinth.wake,
    async turn() {
      if (client) {
        // A half-open connection delivers nothing and reports nothing.
        await client.query('select 1').catch((error: unknown) => {
          drop();
          throw error;
        });
        return LIFE_SIGN_MS;
      }
      const opened = clientBeside(plinth.pool, { application_name: 'plinth worker listen', query_timeout: 5_000, keepAlive: true });
      const lost = (): void => {
        if (client !== opened) return;
        drop();
        setTimeout(loop.nudge, RETRY_MS).unref();
      };
      opened.on('error', lost);
      opened.on('end', lost);
      await opened.connect();
      client = opened;
      // The server frees it the moment it sees this session end: that is how others learn of a death.
      await opened.query('select pg_advisory_lock($1)', [member.sessionLock]);
      member.sessionHeld();
      await listenForWakes(opened, (name) => plinth.wake.hear(name));
      return LIFE_SIGN_MS;
    },
  });
  return {
    nudge: loop.nudge,
    async stop() {
      await loop.stop();
      const old = client;
      client = undefined;
      await old?.end().catch(() => {});
    },
  };
}
