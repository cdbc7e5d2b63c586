import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { clientBeside, endWithin } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { listenForWakes } from '#kernel/wake.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { Member } from './member.ts';

const RETRY_MS = 1_000;
const LIFE_SIGN_MS = 30_000;
/** Longest wait for a good end of a connection. */
const END_MS = 1_000;
/** A pooler that hands sessions on between transactions answers from another one when the first is gone. */
const HELD = `select 1 from pg_catalog.pg_locks as l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
  and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()) and ((l.classid::bigint << 32) | l.objid::bigint) = $1`;

/**
 * Hears the hints of other processes on a connection of its own, and opens another when that one is lost. Without it everything
 * still happens, at the pace of polling. It needs a session: behind a pooler in transaction mode, turn it off.
 */
export function startListener(plinth: Plinth<ModuleMap>, log: WorkServices['log'], member: Pick<Member, 'sessionHeld'>): Loop {
  let client: pg.Client | undefined;
  let lock: bigint | undefined;
  const drop = async (): Promise<void> => {
    const old = client;
    client = undefined;
    if (old) await endWithin(old, END_MS);
  };
  const open = async (): Promise<void> => {
    const opened = clientBeside(plinth.pool, { application_name: 'plinth worker listen', query_timeout: 5_000 });
    const lost = (): void => {
      if (client !== opened) return;
      void drop();
      setTimeout(loop.nudge, RETRY_MS).unref();
    };
    opened.on('error', lost);
    opened.on('end', lost);
    client = opened;
    await opened.connect();
    // The server frees it the moment it sees this session end: that is how others learn of a death. A key of its own for each session, because the server may take the one
    // before for alive for hours yet, and would let this one wait for it.
    lock = randomBytes(8).readBigInt64BE();
    await opened.query('select pg_advisory_lock($1)', [lock]);
    await listenForWakes(opened, (name) => plinth.wake.hear(name));
    member.sessionHeld(lock);
  };
  const loop = startLoop({
    name: 'listen',
    log,
    wake: plinth.wake,
    async turn() {
      try {
        // A half-open connection delivers nothing and reports nothing.
        if (!client) await open();
        else if ((await client.query(HELD, [lock])).rowCount === 0) throw new Error('the session that others know this worker by has ended behind a pooler');
      } catch (error) {
        // One that cannot listen is no use either: a standby refuses it, and may be the primary the next time.
        await drop();
        throw error;
      }
      return LIFE_SIGN_MS;
    },
  });
  return {
    nudge: loop.nudge,
    async stop() {
      await loop.stop();
      await drop();
    },
  };
}
