import type pg from 'pg';
import { Beginning, beginText, COMMIT, streamOf } from './begin.ts';
import type { Clock } from './clock.ts';
import type { Context, ContextInput } from './context.ts';
import { contextSettings, contextStatements, makeContext, runInContext } from './context.ts';
import type { Queryable } from './database.ts';
import { literal } from './database.ts';
import type { EffectWriter } from './effect-statements.ts';
import type { Effect, EffectCheck, EffectFollower, Offer } from './effects.ts';
import { EffectBuffer, effectsDocument } from './effects.ts';
import { fail, isLostConnection, kernelErrors, PlinthError, toPlinthError } from './errors.ts';
import { exactTypes } from './exact-json.ts';
import type { IdSource } from './ids.ts';
import type { KeyRing } from './keys.ts';
import type { EffectsOf, ModuleMap } from './module.ts';
import { isOutdated, runPrepared, statementName } from './prepared.ts';

/** A transaction as every module sees it. */
export interface AnyTransaction extends Queryable {
  readonly context: Context;
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
  /** Runs after a successful COMMIT of a transaction that Plinth opened; for a joined one, after its callback. */
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
  /** Longest run of one statement, ms. Default: the server's. */
  timeoutMs?: number | undefined;
  /**
   * Longest pause between its statements, ms: then the server ends the connection, which rolls back, and `body` is not waited for any more. So nothing
   * stays locked by a process that hangs or stands still. Default: the server's, and `body` is waited for.
   */
  idleMs?: number | undefined;
  /** False: COMMIT does not wait for the disk (synchronous_commit off); a crash of the server may undo it. Default true: the server's setting. */
  durable?: boolean | undefined;
  /** Aborting ends the connection, which rolls the transaction back. */
  signal?: AbortSignal | undefined;
}

export interface TransactionDeps {
  pool: pg.Pool;
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
}

// By way of text: postgres.js would encode a string for a jsonb parameter once more.
const WRITE = 'call plinth.write_effects($1::text::jsonb)';

/** The parts that an own and a joined transaction share. */
function scope(deps: TransactionDeps, context: Context, send: Queryable['query'], sendPrepared = send) {
  const buffer = new EffectBuffer();
  const signals = new Set<string>();
  const hooks: (() => void)[] = [];
  const now = (): Date => new Date(deps.clock.now());
  const afterCommit = (signal: string): void => void signals.add(signal);
  const offered = new deps.offer((module) => ({ context, newId: deps.newId, now, push: (label, row) => buffer.add({ module, label, row }), afterCommit }));
  const tx: AnyTransaction = Object.assign(offered, {
    context,
    keys: deps.keys,
    newId: deps.newId,
    now,
    query: send,
    queryPrepared: sendPrepared,
    flush: async () => {
      const effects = buffer.take();
      if (effects.length === 0) return;
      await checked(deps, tx, effects);
      await send(WRITE, [effectsDocument(effects)]).catch((error: unknown) => explain(deps, context, effects, error));
      for (const [module, follower] of deps.followers) {
        const own = effects.filter((effect) => effect.module === module);
        if (own.length > 0 && follower.follows(own)) await follower.run(tx, own);
      }
    },
    afterCommit: (hook: () => void) => void hooks.push(hook),
    signal: afterCommit,
  });
  const committed = (ridden = false): void => {
    if (signals.size > 0) deps.onSignal(signals, ridden);
    for (const hook of hooks) hook();
  };
  return { tx, buffer, signals, committed };
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
  input.signal?.throwIfAborted();
  const client = await deps.pool.connect().catch((error: unknown) => {
    throw toPlinthError(error);
  });
  const stream = streamOf(client);
  const beginning = new Beginning(input, context, settings, client);
  let broken: unknown;
  const abort = (): void => {
    broken = input.signal?.reason;
    // Not client.end(): that waits for the statement that is running.
    stream?.destroy();
    client.release(true);
  };
  input.signal?.addEventListener('abort', abort, { once: true });
  const loss = input.idleMs ? lossOf(client) : undefined;
  const types = input.exactJson ? { types: exactTypes(client) } : undefined;
  const send = async <Row>(text: string, values?: readonly unknown[]): Promise<Row[]> =>
    (await beginning.before(() => client.query(types ? { text, ...types } : text, values as unknown[] | undefined))).rows as Row[];
  const sendPrepared = async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
    (await beginning.before(() => client.query({ name: statementName(text), text, values: values as unknown[], ...types }))).rows as Row[];
  const { tx, buffer, signals, committed } = scope(deps, context, send, deps.writeEffects ? sendPrepared : send);
  try {
    const run = (): Promise<T> => runInContext(context, () => body(tx as Transaction<Modules>));
    const result = await corked(stream, () => (loss ? Promise.race([run(), loss.lost]) : run()));
    committed(await commit(deps, client, beginning, tx, buffer, signals));
    return result;
  } catch (error) {
    if (beginning.sent && !broken) await client.query('rollback').catch((fault: unknown) => (broken = fault));
    if (isOutdated(error)) broken = error;
    throw toFailure(broken && input.signal?.aborted ? broken : error);
  } finally {
    input.signal?.removeEventListener('abort', abort);
    loss?.forget();
    if (!input.signal?.aborted) client.release(Boolean(broken));
  }
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

/**
 * Effects and COMMIT as one message, so they cost one round trip; BEGIN with them where nothing was sent before. A statement that fails ends it before
 * COMMIT. `note` leaves in the same write, as a message of its own: what becomes of it nobody has to know. Returns the last command.
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
    const statements = [...deps.writeEffects(context, effects), COMMIT];
    const begin = beginning.take();
    const results = await corked(streamOf(client), () => {
      const running = begin ? runPrepared(client, [...begin, ...statements]) : beginning.before(() => runPrepared(client, statements));
      if (note) client.query(note).catch(() => {});
      return running;
    });
    return results.at(-1)?.command ?? '';
  }
  const write = effects.length > 0 ? `call plinth.write_effects(${literal(effectsDocument(effects))});` : '';
  return beginning.before(async () => {
    const ended: unknown = await client.query(`${write}commit`);
    return ((Array.isArray(ended) ? ended.at(-1) : ended) as pg.QueryResult).command;
  });
}

/** Returns whether the hint of its signals has gone with it. */
async function commit(
  deps: TransactionDeps,
  client: pg.PoolClient,
  beginning: Beginning,
  tx: AnyTransaction,
  buffer: EffectBuffer,
  signals: ReadonlySet<string>,
): Promise<boolean> {
  // What follows on effects has to see them written, and COMMIT has to come after it.
  if (deps.followers.size > 0 && followed(deps, buffer.waiting)) await tx.flush();
  const effects = buffer.take();
  const checking = checked(deps, tx, effects);
  if (checking) await checking;
  const note = signals.size > 0 && effects.length > 0 && deps.writeEffects ? deps.ride(signals) : undefined;
  const last = await sendCommit(deps, client, beginning, tx.context, effects, note).catch((error: unknown) =>
    effects.length > 0 ? explain(deps, tx.context, effects, error, client) : Promise.reject(error),
  );
  if (last !== 'COMMIT')
    throw fail('conflict', {
      message: 'The transaction had failed before its end and was rolled back',
      wayOut: 'Let the error of the failed statement reach the end of the transaction.',
    });
  return note !== undefined;
}

/**
 * Joins a transaction that the caller opened with a driver or ORM of theirs: sets the context on it, runs `body`, writes
 * the effects. COMMIT and ROLLBACK stay the caller's.
 */
export async function joinTransaction<Modules extends ModuleMap, T>(
  deps: TransactionDeps,
  joined: Queryable,
  input: ContextInput,
  body: (tx: Transaction<Modules>) => Promise<T>,
): Promise<T> {
  const context = makeContext(input, deps.newId);
  // One by one: most ORMs send prepared statements, which hold one command each.
  for (const statement of contextStatements(contextSettings(context))) await joined.query(statement);
  const { tx, committed } = scope(deps, context, (text, values) => joined.query(text, values));
  try {
    const result = await runInContext(context, () => body(tx as Transaction<Modules>));
    await tx.flush();
    committed();
    return result;
  } catch (error) {
    throw toFailure(error);
  }
}

/** Errors that Plinth's SQL raised, and lost connections, become PlinthErrors; those of the caller's own statements stay as the driver threw them. */
export const toFailure = (error: unknown): unknown => {
  const code = (error as { code?: unknown } | null)?.code;
  return (typeof code === 'string' && /^(PL...|08...|57P..|E[A-Z]{4,})$/.test(code)) || isLostConnection(error) ? toPlinthError(error) : error;
};

/**
 * Finds which effect made the set-based write fail, by writing them one by one in a transaction that is rolled back.
 * Only failures pay for it. Always throws.
 */
async function explain(deps: TransactionDeps, context: Context, effects: readonly Effect[], cause: unknown, own?: pg.PoolClient): Promise<never> {
  const base = toPlinthError(cause);
  // One effect that its module refused needs no search, and so no second connection: a pool whose every transaction fails at flush
  // would wait for itself. An error of the kernel (a deadlock, a lost connection) may have nothing to do with it.
  const only = effects.length === 1 && !base.code.startsWith('kernel_') ? effects[0] : undefined;
  const named = only ? { index: 0, effect: only, error: base } : await firstFailing(deps, context, effects, own).catch(() => undefined);
  if (!named) throw base;
  const message = `Effect ${named.index + 1} of ${effects.length}, ${named.effect.label}, failed: ${named.error.message}`;
  throw new PlinthError(
    'kernel_effect_failed',
    { ...kernelErrors.effect_failed, status: named.error.status },
    {
      message,
      wayOut: named.error.wayOut,
      detail: { ...named.error.detail, effect: named.effect.label, effect_index: named.index, effect_code: named.error.code },
      cause,
    },
  );
}

/** A transaction that fails with more effects than this is not searched to its end. */
const MOST_TRIED = 1000;

/**
 * `own` is the connection of the transaction that failed: using it again means that a pool whose every transaction fails does
 * not wait for itself. A joined transaction has none to give, so there the pool does.
 */
async function firstFailing(deps: TransactionDeps, context: Context, effects: readonly Effect[], own: pg.PoolClient | undefined) {
  const client = own ?? (await deps.pool.connect());
  try {
    await client.query('rollback');
    await client.query(beginText({}, context));
    for (const [index, effect] of effects.slice(0, MOST_TRIED).entries()) {
      const error = await client.query(WRITE, [effectsDocument([effect])]).then(
        () => undefined,
        (reason: unknown) => toPlinthError(reason),
      );
      if (error) return { index, effect, error };
    }
    return undefined;
  } finally {
    await client.query('rollback').catch(() => {});
    if (!own) client.release();
  }
}
