/** Writers of the torture: rollbacks, savepoints, two-phase commits, hot streams and transactions that take their id long before they append. */
import type pg from 'pg';
import type { Run } from './run.ts';
import { connected, pause, writersOf } from './run.ts';

/** Writers wait beyond this many unread events, so that lag tells of stalls and not of a reader that is merely slower. */
const MOST_UNREAD = 400;
/** Of the transactions; the others leave as one message, or a run would consist of round trips. */
const STEP_BY_STEP = 0.3;

type Ending = 'commit' | 'rollback' | 'prepare and commit' | 'prepare and roll back';

const endingOf = (roll: number): Ending => (roll < 0.1 ? 'rollback' : roll < 0.17 ? 'prepare and commit' : roll < 0.2 ? 'prepare and roll back' : 'commit');

/**
 * A few hot streams a tenant, many cold ones and none at all, one event or several; one hot stream a transaction, or most of the time would go into
 * deadlocks.
 */
function appendText(random: () => number, tenant: string, hot: number): string {
  const roll = random();
  const payload = `{"tenant":"${tenant}"}`;
  if (roll < 0.3) return `select plinth.publish_event('torture.happened', '${payload}') as id`;
  const stream = roll < 0.7 ? `hot-${hot}` : `cold-${Math.floor(random() * 100_000)}`;
  if (random() < 0.7) return `select plinth.append_event('${stream}', 'torture', 'torture.happened', '${payload}') as id`;
  const events = Array.from({ length: 2 + Math.floor(random() * 9) }, () => `{"event_type":"torture.happened","payload":${payload}}`);
  return `select event_id as id from plinth.append_events('${stream}', 'torture', '[${events.join(',')}]')`;
}

const begin = (tenant: string): string[] => ['begin', 'set local role plinth_app', `set local plinth.tenant_id = '${tenant}'`];

interface Statement {
  text: string;
  /** A savepoint takes back what it appends. */
  undone?: boolean;
}

/** Business write first, so that the transaction id is older than the appends; then events, some of them under savepoints that roll back. */
function statementsOf(random: () => number, tenant: string): Statement[] {
  const statements: Statement[] = begin(tenant).map((text) => ({ text }));
  const hot = Math.floor(random() * 6);
  if (random() < 0.5) statements.push({ text: `insert into torture.work (tenant_id, note) values ('${tenant}', 'before')` });
  const count = random() < 0.6 ? 1 + Math.floor(random() * 3) : 5 + Math.floor(random() * 20);
  for (let n = 0; n < count; n++) {
    const inner = random();
    if (inner < 0.15) statements.push({ text: 'savepoint inner_part' });
    statements.push({ text: appendText(random, tenant, hot), undone: inner < 0.05 });
    if (inner < 0.15) statements.push({ text: inner < 0.05 ? 'rollback to savepoint inner_part' : 'release savepoint inner_part' });
  }
  return statements;
}

/** Ids of the events that the transaction has appended. */
async function send(client: pg.Client, statements: readonly Statement[], together: boolean): Promise<string[]> {
  const results: pg.QueryResult<{ id?: string }>[] = [];
  if (together) results.push(...((await client.query(statements.map(({ text }) => text).join(';'))) as unknown as pg.QueryResult[]));
  else for (const { text } of statements) results.push(await client.query(text));
  return results.flatMap(({ rows }, index) => (statements[index]?.undone ? [] : rows.flatMap(({ id }) => (id === undefined ? [] : [id]))));
}

async function end(run: Run, client: pg.Client, ending: Ending, ids: readonly string[], random: () => number): Promise<void> {
  if (ending === 'rollback') await client.query('rollback');
  else if (ending === 'commit') await client.query('commit');
  else {
    const name = `torture ${run.options.seed} ${++run.transactionNo}`;
    await client.query(`prepare transaction '${name}'`);
    await pause(random() * 150);
    // A prepared transaction belongs to the role that prepared it.
    await client.query('set role plinth_app');
    await client.query(`${ending === 'prepare and commit' ? 'commit' : 'rollback'} prepared '${name}'`);
    await client.query('reset role');
    run.prepared++;
  }
  const at = Date.now();
  if (ending === 'rollback' || ending === 'prepare and roll back') run.rolledBack++;
  else {
    run.commits++;
    for (const id of ids) run.committed.set(id, at);
  }
}

const isDeadlock = (error: unknown): boolean => (error as { code?: string }).code === '40P01';

export const writer = (run: Run, random: () => number): Promise<void> => connected(run.options.serverUrl, (client) => write(run, client, random));

async function write(run: Run, client: pg.Client, random: () => number): Promise<void> {
  const tenants = run.options.tenants;
  while (run.writing) {
    // A reader that loses events never catches up; its writers only pace themselves.
    if ((run.options.cursor ?? 'snapshot') !== 'snapshot') await pause(20);
    else if (run.committed.size - run.handled > MOST_UNREAD) {
      await pause(5);
      continue;
    }
    const tenant = tenants[Math.floor(random() * tenants.length)] ?? '';
    try {
      const statements = statementsOf(random, tenant);
      const ids = await send(client, statements, random() >= STEP_BY_STEP);
      await end(run, client, endingOf(random()), ids, random);
    } catch (error) {
      // Two writers that take hot streams in opposite orders: their transactions were never promised anything else.
      if (!isDeadlock(error)) throw error;
      await client.query('rollback');
      run.rolledBack++;
    }
  }
}

/** Takes its transaction id, waits, and only then appends to a hot stream: its event has an old id and a new version. */
export const longWriter = (run: Run, random: () => number): Promise<void> => connected(run.options.serverUrl, (client) => writeLong(run, client, random));

/** Until somebody has committed a younger transaction: each of the others may have had one older one open. */
async function company(run: Run): Promise<void> {
  const enough = run.commits + writersOf(run.options) + 1;
  while (run.writing && run.commits < enough) await pause(5);
}

async function writeLong(run: Run, client: pg.Client, random: () => number): Promise<void> {
  const tenants = run.options.tenants;
  const append = (stream: string, data: string): Promise<string[]> =>
    send(client, [{ text: `select plinth.append_event('${stream}', 'torture', 'torture.happened', '${data}') as id` }], false);
  while (run.writing) {
    const tenant = tenants[Math.floor(random() * tenants.length)] ?? '';
    await client.query(begin(tenant).join(';'));
    const taken = `insert into torture.work (tenant_id, note) values ('${tenant}', 'long') returning pg_current_xact_id()::text as xact`;
    const { rows } = await client.query<{ xact: string }>(taken);
    const open = { xact: BigInt(rows[0]?.xact ?? 0), from: Date.now() };
    const ids = await append(`long-${run.longTransactions}`, '{}');
    await company(run);
    await pause(run.options.longMs ?? 3_000);
    for (let n = 0; n < 3; n++) ids.push(...(await append(`hot-${run.longTransactions % 6}`, '{"long":true}')));
    run.long.push({ ...open, to: Date.now() });
    await end(run, client, 'commit', ids, random);
    run.longTransactions++;
  }
}
