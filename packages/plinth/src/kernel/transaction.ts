import type pg from 'pg';
import { answerWithin } from './answer.ts';
import { Beginning, COMMIT, streamOf } from './begin.ts';
import type { Clock } from './clock.ts';
import { columnTypes } from './column-types.ts';
import type { Context, ContextInput } from './context.ts';
import { contextSettings, contextStatements, makeContext, oneStatement, runInContext, SURROUNDING_STATEMENTS } from './context.ts';
import type { Queryable } from './database.ts';
import { literal } from './database.ts';
import { explain } from './effect-failure.ts';
import type { EffectWriter } from './effect-statements.ts';
import type { Effect, EffectCheck, EffectFollower, Offer } from './effects.ts';
import { EffectBuffer, effectsDocument } from './effects.ts';
import { fail, failedBefore, isLostConnection, toPlinthError, unreachable } from './errors.ts';
import { exactTypes } from './exact-json.ts';
import type { IdSource } from './ids.ts';
import type { KeyRing } from './keys.ts';
import type { Log } from './log.ts';
import type { EffectsOf, ModuleMap } from './module.ts';
import { isOutdated, runPrepared, statementName } from './prepared.ts';

/**
 * A transaction as every module sees it. It serves until its callback has returned; what is asked of it afterwards, by a call that nobody awaited, throws
 * kernel_transaction_ended.
 */
export interface AnyTransaction extends Queryable {
  readonly context: Context;
  /** True: it was joined, so COMMIT is its opener's and comes after the callback, if it comes. */
  readonly joined: boolean;
  /** Keys that are not in the database; undefined when the process was given none. */
  readonly keys: KeyRing | undefined;
  /**
   * As `query`, for a statement that is sent often and takes longer to plan than to run: it stays prepared on its connection, where
   * `database.prepare` allows it. Every text stays for the life of the connection, so give values as parameters.
   */
  queryPrepared: Queryable['query'];
  newId(): string;
  now(): Date;
  /** Writes the effects collected so far. Called before COMMIT anyway; call it before a read that needs them. */
  flush(): Promise<void>;
  /** Runs after a successful COMMIT of a transaction that Plinth opened; for a joined one, after its callback. What it throws is logged and changes nothing. */
  afterCommit(hook: () => void): void;
  /** Wakes those who wait for this name, here and in other processes, after COMMIT. A hint: they poll as well. */
  signal(name: string): void;
}

/** A transaction with the effects that the modules offer: `tx.audit.record(...)`, `tx.events.publish(...)`. */
export type Transaction<Modules extends ModuleMap> = AnyTransaction & EffectsOf<Modules>;

export interface TransactionInput extends ContextInput {
  /** Role for the transaction. Default `plinth_app`; null keeps the connection's own role. */
  role?: string | null | undefined;
  readOnly?: boolean | undefined;
  /** Default `read committed`, whatever the database's own default is: claims, feeds and cursors look again after they have waited. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  /** Numbers in json and jsonb that JavaScript would round come as raw JSON, to be passed on as they are (exact-json.ts). Default false. */
  exactJson?: boolean | undefined;
  /** Longest run of one statement, ms. Default: the server's. With it an answer that is 5 s late ends the connection: it got lost on the way. */
  timeoutMs?: number | undefined;
  /** Longest wait for one lock, ms; then the statement fails with 55P03 and the transaction rolls back. Default: the server's. */
  lockMs?: number | undefined;
  /**
   * Longest pause between its statements, ms: then the server ends the connection, which rolls back, and `body` is not waited for any more. So nothing
   * stays locked by a process that hangs or stands still. Default: the server's, and `body` is waited for.
   */
  idleMs?: number | undefined;
  /** False: COMMIT does not wait for the disk (synchronous_commit off); a crash of the server may undo it. Default true: the server's setting. */
  durable?: boolean | undefined;
  /**
   * One statement is all there is: COMMIT leaves with it, a round trip less, and what it locks is let go before its answer is read. What `body` throws afterwards
   * undoes nothing. A second statement and effects throw.
   */
  single?: boolean | undefined;
  /** Aborting ends the connection, which rolls the transaction back. */
  signal?: AbortSignal | undefined;
}

export interface TransactionDeps {
  pool: pg.Pool;
  /** Its connections are Plinth's own. */
  owned: boolean;
  keys: KeyRing | undefined;
  /** Makes what a transaction offers of the modules' effects. */
  offer: Offer;
  clock: Clock;
  newId: IdSource;
  /** Hears of every signal that effects asked for, after COMMIT; `ridden`: a text of `ride` went with it. */
  onSignal: (signals: ReadonlySet<string>, ridden: boolean) => void;
  /** See Wake.ride. */
  ride: (signals: ReadonlySet<string>) => string | undefined;
  /** By module: what its effects pass before they are written. */
  checks: ReadonlyMap<string, EffectCheck>;
  /** By module: what follows in the transaction on effects that were written. */
  followers: ReadonlyMap<string, EffectFollower>;
  /** Writes effects by prepared statements. Undefined: nothing may stay prepared on a connection. */
  writeEffects: EffectWriter | undefined;
  /** Hears what went wrong after COMMIT. */
  log: Pick<Log, 'error'>;
}

// By way of text: postgres.js would encode a string for a jsonb parameter once more.
const WRITE = 'call plinth.write_effects($1::text::jsonb)';

/** The parts that an own and a joined transaction share. */
function scope(deps: TransactionDeps, context: Context, joined: boolean, send: Queryable['query'], sendPrepared = send) {
  const buffer = new EffectBuffer();
  const signals = new Set<string>();
  const hooks: (() => void)[] = [];
  let ended = false;
  const whileItLasts =
    (sending: Queryable['query']): Queryable['query'] =>
    (text, values) =>
      ended ? Promise.reject(fail('transaction_ended')) : sending(text, values);
  const now = (): Date => new Date(deps.clock.now());
  const afterCommit = (signal: string): void => {
    buffer.requireOpen();
    signals.add(signal);
  };
  const offered = new deps.offer((module) => ({
    context,
    newId: deps.newId,
    now,
    push: (label, row, rows) => buffer.add(module, label, row, rows),
    afterCommit,
  }));
  const tx: AnyTransaction = Object.assign(offered, {
    context,
    joined,
    keys: deps.keys,
    newId: deps.newId,
    now,
    query: whileItLasts(send),
    queryPrepared: whileItLasts(sendPrepared),
    flush: async () => flush(deps, tx, buffer.take()),
    afterCommit: (hook: () => void) => {
      buffer.requireOpen();
      hooks.push(hook);
    },
    signal: afterCommit,
  });
  /** Nothing more on a connection that is about to serve others. */
  const end = (): void => {
    buffer.last();
    ended = true;
  };
  return { tx, buffer, signals, end, committed: (ridden = false) => committed(deps, context, signals, hooks, ridden) };
}

async function flush(deps: TransactionDeps, tx: AnyTransaction, effects: readonly Effect[]): Promise<void> {
  if (effects.length === 0) return;
  const checking = checked(deps, tx, effects);
  if (checking) await checking;
  await tx.query(WRITE, [effectsDocument(effects)]).catch((error: unknown) => explain(deps.pool, tx.context, effects, error));
  for (const [module, follower] of deps.followers) {
    const own = effects.filter((effect) => effect.module === module);
    if (own.length > 0 && follower.follows(own)) await follower.run(tx, own);
  }
}

/** Tells signals and hooks. It never throws: the caller would take what is written for rolled back, and do it again. */
function committed(deps: TransactionDeps, context: Context, signals: ReadonlySet<string>, hooks: readonly (() => void)[], ridden: boolean): void {
  const failed = (error: unknown): void =>
    deps.log.error({ err: error, correlation_id: context.correlationId }, 'What was to run after COMMIT failed; the transaction is committed');
  try {
    if (signals.size > 0) deps.onSignal(signals, ridden);
  } catch (error) {
    failed(error);
  }
  for (const hook of hooks) void (async () => hook())().catch(failed);
}

/** Lets the modules look at their effects. Returns a promise only where one of them has to wait, so that the others cost no turn of the event loop. */
function checked(deps: TransactionDeps, tx: AnyTransaction, effects: readonly Effect[]): Promise<unknown> | undefined {
  const waiting: Promise<void>[] = [];
  for (const [module, check] of deps.checks) {
    const own = effects.filter((effect) => effect.module === module);
    const waits = own.length > 0 ? check(tx, own) : undefined;
    if (waits) waiting.push(waits);
  }
  return waiting.length > 0 ? Promise.all(waiting) : undefined;
}

const followed = (deps: TransactionDeps, effects: readonly Effect[]): boolean =>
  [...deps.followers].some(([module, follower]) => follower.follows(effects.filter((effect) => effect.module === module)));

/**
 * Runs `body` in a transaction of its own: its statements, then the effects, then COMMIT; any error rolls everything back.
 * Errors: whatever `body` throws, as it is; a failed effect as kernel_effect_failed, which names it.
 */
export async function runTransaction<Modules extends ModuleMap, T>(
  deps: TransactionDeps,
  input: TransactionInput,
  body: (tx: Transaction<Modules>) => Promise<T>,
): Promise<T> {
  const context = makeContext(input, deps.newId);
  // Before a connection is taken: it throws for a context that cannot be sent.
  const settings = contextSettings(context);
  const client = await connected(deps.pool, input.signal);
  const stream = streamOf(client);
  const beginning = new Beginning(input, context, settings, client);
  const answer = answerWithin(client, input.timeoutMs);
  let broken: unknown;
  const abort = (): void => {
    broken = input.signal?.reason;
    // Not client.end(): that waits for the statement that is running.
    stream?.destroy();
    client.release(true);
  };
  input.signal?.addEventListener('abort', abort, { once: true });
  const loss = input.idleMs ? lossOf(client) : undefined;
  const types = typesOf(deps, input, client);
  let ending: Promise<pg.QueryResult> | undefined;
  const sendQuery = async <Row>(query: pg.QueryConfig): Promise<Row[]> => {
    if (ending) throw new TypeError('the transaction was to have a single statement');
    const sent = beginning.before(() => {
      const answered = client.query({ ...query, ...types });
      if (input.single) {
        ending = client.query('commit');
        // Awaited when the body has returned.
        ending.catch(() => {});
      }
      return answered;
    });
    return (await answer(sent)).rows as Row[];
  };
  const send = <Row>(text: string, values?: readonly unknown[]): Promise<Row[]> => sendQuery({ text, values: values as unknown[] | undefined });
  const sendPrepared = <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
    sendQuery({ name: statementName(text), text, values: values as unknown[] });
  const own = scope(deps, context, false, send, deps.writeEffects ? sendPrepared : send);
  try {
    const run = (): Promise<T> => runInContext(context, () => body(own.tx as Transaction<Modules>));
    const result = await corked(stream, () => (loss ? Promise.race([run(), loss.lost]) : run()));
    own.committed(await answer(ending ? hasEnded(ending, own) : commit(deps, client, beginning, own)));
    return result;
  } catch (error) {
    own.end();
    if (beginning.sent && !broken) await answer(ending ?? client.query('rollback')).catch((fault: unknown) => (broken = fault));
    if (isOutdated(error)) broken = error;
    throw toFailure(broken && input.signal?.aborted ? broken : error);
  } finally {
    input.signal?.removeEventListener('abort', abort);
    loss?.forget();
    if (!input.signal?.aborted) client.release(Boolean(broken));
  }
}

/** A connection for who is still there when it comes: a caller who is cancelled while waiting for one takes none. */
async function connected(pool: pg.Pool, signal: AbortSignal | undefined): Promise<pg.PoolClient> {
  signal?.throwIfAborted();
  const client = await pool.connect().catch((error: unknown) => {
    throw unreachable(error);
  });
  if (!signal?.aborted) return client;
  client.release();
  throw signal.reason;
}

/** How columns are read, where that is not what the connection has by itself. */
function typesOf({ owned }: TransactionDeps, { exactJson }: TransactionInput, client: pg.PoolClient): { types: pg.CustomTypesConfig } | undefined {
  if (owned && !exactJson) return undefined;
  const plain = owned ? client : columnTypes(client);
  return { types: (exactJson ? exactTypes(plain) : plain) as pg.CustomTypesConfig };
}

/** Rejects when the connection is ended between two statements. */
function lossOf(client: pg.PoolClient): { lost: Promise<never>; forget(): void } {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => {});
  client.once('error', reject);
  return { lost, forget: () => void client.off('error', reject) };
}

/** Runs `start` up to its first wait and then lets go what it wrote. */
function corked<T>(stream: ReturnType<typeof streamOf>, start: () => Promise<T>): Promise<T> {
  stream?.cork();
  try {
    return start();
  } finally {
    stream?.uncork();
  }
}

/** Pools whose sessions begin transactions in another isolation than read committed. */
const withBegin = new WeakSet<pg.Pool>();

/**
 * Effects and COMMIT as one message, so they cost one round trip; where nothing was sent before, the message is a transaction by itself. A statement that fails ends it
 * before COMMIT. `note` leaves in the same write, as a message of its own: what becomes of it nobody has to know. Returns the last command.
 */
async function sendCommit(
  deps: TransactionDeps,
  client: pg.PoolClient,
  beginning: Beginning,
  context: Context,
  effects: readonly Effect[],
  note: string | undefined,
): Promise<string> {
  if (effects.length > 0 && deps.writeEffects) {
    const writes = deps.writeEffects(context, effects);
    const sent = (run: () => Promise<pg.QueryResult[]>): Promise<pg.QueryResult[]> =>
      corked(streamOf(client), () => {
        const running = run();
        if (note) client.query(note).catch(() => {});
        return running;
      });
    const settings = withBegin.has(deps.pool) ? undefined : beginning.alone(writes.some(({ readsContext }) => readsContext));
    if (settings) {
      const isolated = await sent(() => runPrepared(client, [settings, ...writes])).then(
        () => true,
        (error: unknown) => ((error as { code?: unknown }).code === '25001' ? false : Promise.reject(error)),
      );
      if (isolated) return 'COMMIT';
      withBegin.add(deps.pool);
    }
    const begin = beginning.take();
    const statements = [...(begin ?? []), ...writes, COMMIT];
    const results = await sent(() => (begin ? runPrepared(client, statements) : beginning.before(() => runPrepared(client, statements))));
    return results.at(-1)?.command ?? '';
  }
  const write = effects.length > 0 ? `call plinth.write_effects(${literal(effectsDocument(effects))});` : '';
  return beginning.before(async () => {
    const ended: unknown = await client.query(`${write}commit`);
    return ((Array.isArray(ended) ? ended.at(-1) : ended) as pg.QueryResult).command;
  });
}

/** Returns whether the hint of its signals has gone with it. */
async function commit(deps: TransactionDeps, client: pg.PoolClient, beginning: Beginning, own: ReturnType<typeof scope>): Promise<boolean> {
  const { tx, buffer, signals } = own;
  // What follows on effects has to see them written, and COMMIT has to come after it.
  if (deps.followers.size > 0 && followed(deps, buffer.waiting)) await tx.flush();
  // From here on what is asked for would be lost; checks still send statements.
  const effects = buffer.last();
  const checking = checked(deps, tx, effects);
  if (checking) await checking;
  own.end();
  const note = signals.size > 0 && effects.length > 0 && deps.writeEffects ? deps.ride(signals) : undefined;
  const last = await sendCommit(deps, client, beginning, tx.context, effects, note).catch((error: unknown) =>
    effects.length > 0 ? explain(deps.pool, tx.context, effects, error, { client, open: beginning.sent }) : Promise.reject(error),
  );
  if (last !== 'COMMIT') throw failedBefore();
  return note !== undefined;
}

/** The end of a transaction whose COMMIT was sent with its only statement. */
async function hasEnded(ending: Promise<pg.QueryResult>, own: ReturnType<typeof scope>): Promise<boolean> {
  const effects = own.buffer.last();
  own.end();
  if ((await ending).command !== 'COMMIT') throw failedBefore();
  if (effects.length > 0) throw new TypeError('a transaction of a single statement writes no effects');
  return false;
}

/**
 * Joins a transaction that the caller opened with a driver or ORM of theirs: sets the whole context on it, runs `body`, writes
 * the effects, and sets back what the context was before, so that neither what follows nor another join sees it. COMMIT and ROLLBACK stay the caller's.
 *
 * After an error of `body` the context is set back too, unless a statement had failed: then PostgreSQL takes nothing but a rollback, which sets it back when
 * it goes to the start or to a savepoint from before the join. `roles`: statements that change the role with the context, and back.
 */
export async function joinTransaction<Modules extends ModuleMap, T>(
  deps: TransactionDeps,
  joined: Queryable,
  input: ContextInput,
  body: (tx: Transaction<Modules>) => Promise<T>,
  roles?: { enter: string; leave: string },
): Promise<T> {
  const context = makeContext(input, deps.newId);
  const together = (...statements: string[]): string => oneStatement(statements.join(';'));
  const entering = together(...contextStatements(contextSettings(context, true)), ...(roles ? [roles.enter] : []));
  const [surrounding] = await joined.query<{ statements: string }>(SURROUNDING_STATEMENTS);
  const leave = (): Promise<unknown> => joined.query(together(surrounding?.statements ?? 'null', ...(roles ? [roles.leave] : [])));
  await joined.query(entering);
  const own = scope(deps, context, true, (text, values) => joined.query(text, values));
  try {
    const result = await runInContext(context, () => body(own.tx as Transaction<Modules>));
    await own.tx.flush();
    // What followers asked for while they ran.
    if (own.buffer.waiting.length > 0) await own.tx.flush();
    own.end();
    await leave();
    own.committed();
    return result;
  } catch (error) {
    own.end();
    await leave().catch(() => {});
    throw toFailure(error);
  }
}

/**
 * Errors that Plinth's SQL raised, lost connections, and the refusal of statements after one that failed become PlinthErrors; those of the caller's own
 * statements stay as the driver threw them.
 */
export const toFailure = (error: unknown): unknown => {
  const code = (error as { code?: unknown } | null)?.code;
  return (typeof code === 'string' && /^(PL...|08...|25P02|57P..|E[A-Z]{4,})$/.test(code)) || isLostConnection(error) ? toPlinthError(error) : error;
};
