import type pg from 'pg';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { ContextInput } from './context.ts';
import type { PoolOptions, Queryable } from './database.ts';
import { createPool, cutConnections, namesSeveralHosts, survivingLoss } from './database.ts';
import { effectWriter } from './effect-statements.ts';
import type { EffectCheck, EffectFollower, EffectInsert } from './effects.ts';
import { offerOf } from './effects.ts';
import { fail } from './errors.ts';
import type { IdSource } from './ids.ts';
import { uuidV7Source } from './ids.ts';
import { tenantScope } from './in-tenant.ts';
import type { KeyRing } from './keys.ts';
import type { Log } from './log.ts';
import { createLog } from './log.ts';
import type { Look } from './look.ts';
import { lookIn, runLook } from './look.ts';
import type { ModuleMap } from './module.ts';
import { measured } from './telemetry.ts';
import type { Transaction, TransactionDeps, TransactionInput } from './transaction.ts';
import { joinTransaction, runTransaction } from './transaction.ts';
import type { Wake } from './wake.ts';
import { createWake } from './wake.ts';
import type { TenantScope } from './work.ts';

export interface KernelOptions<Modules extends ModuleMap> {
  modules: Modules;
  /**
   * Connection of a login role that is a member of plinth_app, plinth_worker and plinth_reader and does not inherit the last two, whose rows are those of all tenants
   * (`plinth migrate up --server-role` makes one). A pool of yours reads times only where DateStyle is ISO, the default of PostgreSQL. In Plinth's transactions bigint and numeric are texts, timestamptz
   * a Date and JSON is read, whatever parsers the process has set.
   */
  database: PoolOptions | pg.Pool;
  clock?: Clock | undefined;
  /** Encrypts what modules keep encrypted, such as personal fields of events. Default: none, and that is refused. */
  keys?: KeyRing | undefined;
  newId?: IdSource | undefined;
  /** Role of ordinary transactions; a group role of yours that is a member of plinth_app and owns rights on your tables. Default plinth_app. */
  appRole?: string | null | undefined;
  /** Hears what hooks after COMMIT throw. Default: lines of JSON on standard error. */
  log?: Pick<Log, 'error'> | undefined;
}

/** The system layer, bound to one database. */
export interface Plinth<Modules extends ModuleMap> {
  readonly modules: Modules;
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly newId: IdSource;
  readonly wake: Wake;
  /** One transaction: what `body` does, then the effects, then COMMIT; or nothing at all. */
  transaction<T>(input: TransactionInput, body: (tx: Transaction<Modules>) => Promise<T>): Promise<T>;
  /** The same, as plinth_worker: tables whose card says `worker` show every tenant's rows. */
  asWorker<T>(input: TransactionInput, body: (tx: Transaction<Modules> & TenantScope<Transaction<Modules>>) => Promise<T>): Promise<T>;
  /** One query, prepared, in a read-only transaction of its own as plinth_worker: for what is asked often and finds little. */
  lookAsWorker<Row>(look: Look): Promise<Row[]>;
  /** The same, read only, as plinth_reader: every tenant's rows. The caller audits it. */
  asReader<T>(input: TransactionInput, body: (tx: Transaction<Modules>) => Promise<T>): Promise<T>;
  /** Joins a transaction that the caller opened; COMMIT stays the caller's. */
  joinQueryable<T>(joined: Queryable, input: ContextInput, body: (tx: Transaction<Modules>) => Promise<T>): Promise<T>;
  /** Waits for what runs; called twice it does nothing more. With `graceMs` what runs longer than that is cut off, and rolled back; a pool that was given to createPlinth is left alone. */
  close(options?: { graceMs?: number }): Promise<void>;
}

const isPool = (database: PoolOptions | pg.Pool): database is pg.Pool => 'connect' in database;

/** Without a URL the driver would connect to whatever it finds on this machine. Programs in JavaScript have no types to tell them. */
function checkDatabase(database: PoolOptions | pg.Pool | undefined): void {
  if (typeof database !== 'object' || database === null || (!isPool(database) && (typeof database.url !== 'string' || database.url === '')))
    throw fail('database_unnamed');
  if (!isPool(database) && namesSeveralHosts(database.url)) throw fail('database_hosts');
}

const checksOf = (modules: ModuleMap, wake: Wake): Map<string, EffectCheck> =>
  new Map(Object.entries(modules).flatMap(([name, card]) => (card.checkEffects ? [[name, card.checkEffects(wake)] as const] : [])));

const followersOf = (modules: ModuleMap): Map<string, EffectFollower> =>
  new Map(
    Object.entries(modules).flatMap(([name, card]) => {
      const follower = card.followEffects?.(modules);
      return follower ? [[name, follower] as const] : [];
    }),
  );

const insertsOf = (modules: ModuleMap): Map<string, EffectInsert> =>
  new Map(Object.entries(modules).flatMap(([name, card]) => (card.effectInsert ? [[name, card.effectInsert] as const] : [])));

export function createKernel<Modules extends ModuleMap>(options: KernelOptions<Modules>): Plinth<Modules> {
  checkDatabase(options.database);
  const clock = options.clock ?? systemClock;
  const owned = !isPool(options.database);
  const pool = isPool(options.database) ? survivingLoss(options.database) : createPool(options.database);
  const wake = createWake(pool);
  const newId = options.newId ?? uuidV7Source(clock);
  const deps: TransactionDeps = {
    pool,
    owned,
    keys: options.keys,
    offer: offerOf(options.modules),
    clock,
    newId,
    checks: checksOf(options.modules, wake),
    followers: followersOf(options.modules),
    writeEffects: isPool(options.database) || options.database.prepare === false ? undefined : effectWriter(insertsOf(options.modules)),
    onSignal: (signals, ridden) => wake.signal(signals, ridden),
    ride: (signals) => wake.ride(signals),
    log: options.log ?? createLog(),
  };
  const appRole = options.appRole === undefined ? 'plinth_app' : options.appRole;
  const run = <T>(role: string | null, input: TransactionInput, body: (tx: Transaction<Modules>) => Promise<T>): Promise<T> =>
    measured(
      {
        kind: 'transaction',
        labels: { 'plinth.role': role ?? 'connection' },
        ...(input.correlationId ? { facts: { 'plinth.correlation_id': input.correlationId } } : {}),
      },
      () => runTransaction<Modules, T>(deps, { role, ...input }, body),
    );
  let ended: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await wake.close();
    if (owned) await pool.end();
  };
  return {
    modules: options.modules,
    pool,
    clock,
    newId,
    wake,
    transaction: (input, body) => run(appRole, input, body),
    asWorker: (input, body) => run('plinth_worker', input, (tx) => body(Object.assign(tx, tenantScope<Modules>(deps, appRole, tx)))),
    lookAsWorker: <Row>(look: Look) =>
      deps.writeEffects ? runLook<Row>(pool, look) : run('plinth_worker', { readOnly: true, timeoutMs: look.timeoutMs }, (tx) => lookIn<Row>(tx, look)),
    asReader: (input, body) => run('plinth_reader', { readOnly: true, ...input }, body),
    joinQueryable: (joined, input, body) => joinTransaction(deps, joined, input, body),
    async close({ graceMs } = {}) {
      const stop = owned && graceMs !== undefined ? cutConnections(pool, graceMs) : undefined;
      await (ended ??= end());
      stop?.();
    },
  };
}
