import { defineCommand } from 'citty';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { modules } from '#registry';
import { readEnvironment, SettingFault } from './environment.ts';
import { say, table, told } from './output.ts';
import { devState } from './trace.ts';

interface Args {
  action: string;
  name: string | undefined;
  reason: string | undefined;
  to: string | undefined;
  position: string | undefined;
  at: string | undefined;
  forward: boolean;
  for: string | undefined;
  shard: string | undefined;
  id: string | undefined;
  json: boolean;
}

type Row = Record<string, unknown>;
interface Action {
  /** What it cannot do without, beside a reason. */
  needs: readonly ('name' | 'reason' | 'shard' | 'id')[];
  run: (tx: AnyTransaction, args: Args) => Promise<Row[]>;
  /** For people; rows are what programs get. */
  said: (args: Args, rows: readonly Row[]) => string;
}

const COLUMNS = ['consumer', 'status', 'waiting', 'lag_s', 'failures', 'failing_shards', 'parked', 'paused_until', 'pause_reason', 'last_error'];
const LISTED = ['id', 'consumer', 'tenant_id', 'status', 'event_type', 'event_id', 'attempts', 'retry_at', 'error', 'created_at'];
const MOST_LISTED = 200;

const ACTIONS: Readonly<Record<string, Action>> = {
  pause: {
    needs: ['name', 'reason'],
    run: (tx, { name, reason, for: span }) => tx.query('select plinth.pause_consumer($1, $2, $3::interval)', [name, reason, span ?? null]),
    said: ({ name }) => `${name} is paused; plinth consumers resume ${name} lets it go on.`,
  },
  resume: {
    needs: ['name'],
    run: (tx, { name, reason }) => tx.query('select plinth.resume_consumer($1, $2)', [name, reason ?? null]),
    said: ({ name }) => `${name} goes on.`,
  },
  rewind: {
    needs: ['name', 'reason'],
    run: (tx, { name, reason, to, position, at, forward }) =>
      tx.query('select shard, after_position from plinth.rewind_consumer($1, $2, $3, $4::bigint, $5::timestamptz, $6) order by shard', [
        name,
        reason,
        to ?? null,
        position ?? null,
        at ?? null,
        forward,
      ]),
    said: ({ name, to, position, at }) => `${name} reads on from ${to ?? (position === undefined ? at : `behind position ${position}`)}.`,
  },
  'park-next': {
    needs: ['name', 'shard', 'reason'],
    run: (tx, { name, shard, reason }) => tx.query('select plinth.park_next_event($1, $2, $3) as parked_id', [name, shard, reason]),
    said: ({ shard }, [row]) => (row?.parked_id ? `Parked as ${String(row.parked_id)}.` : `There is nothing to park in shard ${shard}.`),
  },
  parked: {
    needs: [],
    run: (tx, { name }) =>
      tx.query(
        `select ${LISTED.join(', ')} from plinth.parked_events where ended_at is null and ($1::text is null or consumer = $1) order by created_at, id limit ${MOST_LISTED}`,
        [name ?? null],
      ),
    said: () => 'Nothing is put aside.',
  },
  park: {
    needs: ['id', 'reason'],
    run: (tx, { id, reason }) => tx.query('select plinth.park_failing_event($1, $2)', [id, reason]),
    said: () => 'Parked: its tenant goes on without it.',
  },
  retry: {
    needs: [],
    run: (tx, { name, id }) => tx.query('select plinth.retry_parked_events($1, $2) as count', [name ?? null, id ?? null]),
    said: (_args, [row]) => `${String(row?.count)} are tried again.`,
  },
  discard: {
    needs: ['id', 'reason'],
    run: (tx, { id, reason }) => tx.query('select plinth.discard_parked_event($1, $2)', [id, reason]),
    said: () => 'Given up.',
  },
  forget: {
    needs: ['name', 'reason'],
    run: (tx, { name, reason }) => tx.query('select plinth.forget_consumer($1, $2)', [name, reason]),
    said: ({ name }) => `${name} is forgotten.`,
  },
};
const NAMES = ['list', ...Object.keys(ACTIONS)];
const MISSING = {
  name: 'Name the consumer: <module>.<name>, as plinth consumers list shows it.',
  reason: 'Say why: --reason "...". It is kept in the audit log.',
  shard: 'Name the shard: --shard 0 to 7; plinth consumers list shows which fail.',
  id: 'Name the event: --id, as plinth consumers parked shows it.',
};

const ZONED = /\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$/i;

const shown = (value: unknown): string => (value instanceof Date ? value.toISOString() : Array.isArray(value) ? value.join(' ') : String(value ?? ''));

function print(columns: readonly string[], rows: readonly Row[]): void {
  table(
    columns,
    rows.map((row) => columns.map((column) => shown(row[column]))),
  );
}

async function run(args: Args): Promise<void> {
  const action = ACTIONS[args.action];
  if (!action && args.action !== 'list') throw new SettingFault(`There is no action ${args.action}: choose ${NAMES.join(', ')}.`);
  for (const need of action?.needs ?? []) if (!args[need]) throw new SettingFault(MISSING[need]);
  if (args.at !== undefined && !ZONED.test(args.at))
    throw new SettingFault('Say the time zone, or it would be that of the server: --at 2026-11-22T08:00:00Z, or +01:00.');
  const environment = readEnvironment();
  const url = environment.databaseUrl ?? environment.maintenanceUrl ?? (await devState(environment.dataDir))?.adminUrl;
  if (!url) throw new SettingFault('No database is named: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  const plinth = createKernel({ modules, database: { url, max: 2, applicationName: 'plinth consumers' } });
  try {
    if (!action) {
      const rows = await plinth.asReader({}, (tx) => tx.query<Row>(`select ${COLUMNS.join(', ')} from plinth.consumers order by consumer`));
      if (args.json) say(JSON.stringify(rows));
      else if (rows.length === 0) say('  No consumer reads the events.');
      else print(COLUMNS, rows);
      return;
    }
    const rows = await plinth.asWorker({}, async (tx) => {
      const done = await action.run(tx, args);
      if (args.action !== 'parked') tx.signal(FEED_SIGNAL);
      return done;
    });
    if (args.json) say(JSON.stringify(rows));
    else if (args.action === 'parked' && rows.length > 0) print(LISTED, rows);
    else say(`  ${action.said(args, rows)}`);
  } finally {
    await plinth.close();
  }
}

export const consumers = defineCommand({
  meta: { name: 'consumers', description: 'See the readers of the events, pause and rewind them, and deal with events that they cannot handle.' },
  args: {
    action: { type: 'positional', default: 'list', description: NAMES.join(', ') },
    name: { type: 'positional', required: false, description: '<module>.<name>' },
    reason: { type: 'string', description: 'Why; kept in the audit log' },
    to: { type: 'string', description: 'rewind: beginning, or now' },
    position: { type: 'string', description: 'rewind: behind this position' },
    at: { type: 'string', description: 'rewind: what was written since, 2026-11-22T08:00:00Z' },
    forward: { type: 'boolean', description: 'rewind: also where that passes over events that were not read' },
    for: { type: 'string', description: 'pause: how long, as PostgreSQL writes intervals: "2 hours"' },
    shard: { type: 'string', description: 'park-next: 0 to 7' },
    id: { type: 'string', description: 'park, retry, discard: of the event that was put aside' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) => told(() => run({ ...args, action: args.action ?? 'list', forward: args.forward === true, json: args.json === true } as Args))(undefined),
});
