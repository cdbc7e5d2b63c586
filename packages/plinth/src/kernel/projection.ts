import { identifier } from './database.ts';
import type { AnyModule, ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/** Names of the tables to write to, quoted, by the names that the projection has for them: the live ones, or those that are being made beside them. */
export type ProjectionTables<Tables extends string = string> = Readonly<Record<Tables, string>>;

/**
 * Tables that follow from the log of events and from nothing else, so that they can be thrown away and made anew. The application makes them
 * with its migrations, gives plinth_worker what `handle` needs of them, and a policy where they have row security.
 */
export interface Projection<Tables extends string = string> {
  summary: string;
  /**
   * `async` (default): the worker hands it every committed event exactly once and in the order of each stream, moments later. `inline`: in the
   * transaction that publishes the events, after they were written; it sees those of tx.events, not those that plain SQL appends.
   */
  kind?: 'async' | 'inline';
  /** Change it whenever `handle` makes something else of the same events; then rebuild. */
  revision: string | number;
  /** `{ totals: 'shop.order_totals' }`: name in `handle` -> schema.table. */
  tables: Readonly<Record<Tables, string>>;
  /** `defineUpcasters(...)`: `handle` gets events of every old version in the newest. A change of them is a change of `revision`. */
  upcasters?: { upcast<Event extends FeedEvent>(event: Event): Event };
  /** Only events of these types. Default: all. An inline projection has to name them. */
  types?: readonly string[];
  /** Columns that may differ when the same events are handled again, such as times of the clock: they are not compared. */
  uncompared?: readonly string[];
  /** Events a batch, when async or rebuilt. Default 500. */
  batchSize?: number;
  /** Inline: longest run of one of its statements, ms. Default 1,000. */
  timeoutMs?: number;
  /** Events come as they are stored: personal fields stay encrypted, and no erasure makes the tables stale. Default false. */
  stored?: boolean;
  /** Writes what the events mean, to `tables` and nowhere else; it depends on the events and on `tables` only. */
  handle: (tx: AnyTransaction, events: readonly FeedEvent[], tables: ProjectionTables<Tables>) => Promise<void>;
}

const TABLE = /^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/;

/**
 * Declares a projection, for `projections` of a module's card. Errors: a RangeError for tables that are not named `schema.table` in lower case, or
 * an inline projection without types.
 *
 * @example
 * const totals = defineProjection({
 *   summary: 'What every order is worth', revision: 1, tables: { totals: 'shop.order_totals' }, types: ['order.paid'],
 *   handle: async (tx, events, { totals }) => { ... await tx.query(`insert into ${totals} ...`) },
 * });
 */
export function defineProjection<const Tables extends string>(projection: Projection<Tables>): Projection {
  const tables = Object.values<string>(projection.tables);
  if (tables.length === 0 || new Set(tables).size < tables.length) throw new RangeError('a projection has tables, each of them once');
  for (const table of tables) if (!TABLE.test(table)) throw new RangeError(`${table} is not a table: name it schema.table, in lower case`);
  if (projection.kind === 'inline' && !projection.types?.length) throw new RangeError('an inline projection names the types that it follows');
  return projection as unknown as Projection;
}

/** `shop.order_totals` as SQL has it. */
export const quoted = (table: string): string => table.split('.').map(identifier).join('.');

export const liveTables = (projection: Projection): ProjectionTables =>
  Object.fromEntries(Object.entries(projection.tables).map(([name, table]) => [name, quoted(table)]));

export function eventsFor({ types, upcasters }: Projection, events: readonly FeedEvent[]): readonly FeedEvent[] {
  const own = types ? events.filter((event) => types.includes(event.type)) : events;
  return upcasters ? own.map((event) => upcasters.upcast(event)) : own;
}

/** Hands a projection events of its own. What it was given in readable form it may keep, so that is noted with what it writes. */
export async function project(tx: AnyTransaction, name: string, projection: Projection, own: readonly FeedEvent[], tables: ProjectionTables): Promise<void> {
  if (own.some((event) => event.personal))
    await tx.query('select plinth_kernel.projection_opened($1, $2, $3)', [name, projection.kind ?? 'async', String(projection.revision)]);
  await projection.handle(tx, own, tables);
}

/** The reader that writes a projection, to its live tables or others. Its commits need not wait for the disk: what a crash undoes is handled again. */
export const projectionConsumer = (name: string, projection: Projection, tables: ProjectionTables = liveTables(projection)): Consumer => ({
  summary: projection.summary,
  from: 'beginning',
  durable: false,
  ...(projection.batchSize ? { batchSize: projection.batchSize } : {}),
  ...(projection.stored ? { stored: true } : {}),
  async handle(tx, events) {
    const own = eventsFor(projection, events);
    if (own.length > 0) await project(tx, name, projection, own, tables);
  },
});

/** The readers of a card: its consumers, and its async projections. */
export const consumersOf = (card: AnyModule): Record<string, Consumer> => ({
  ...card.consumers,
  ...Object.fromEntries(
    Object.entries(card.projections ?? {}).flatMap(([name, projection]) =>
      projection.kind === 'inline' ? [] : [[name, projectionConsumer(`${card.name}.${name}`, projection)]],
    ),
  ),
});

/** Projections of all cards, by `<module>.<name>`. */
export const projectionsOf = (modules: ModuleMap): Map<string, Projection> =>
  new Map(
    Object.values(modules).flatMap((card) => Object.entries(card.projections ?? {}).map(([name, projection]) => [`${card.name}.${name}`, projection] as const)),
  );

/**
 * Who says which code there is of a projection: a process that has `started` with it, one that is `running`, or a `visitor`, who rebuilds or looks and whose code
 * is that of the processes only as long as none of them has said otherwise.
 */
export type DeclaredBy = 'started' | 'running' | 'visitor';

/** Notes which revisions of the projections this process has, so that what has to be rebuilt can be seen; and folds in what tenants noted of any since. */
export async function declareProjections<Modules extends ModuleMap>(plinth: Plinth<Modules>, by: DeclaredBy = 'started'): Promise<void> {
  await plinth.asWorker({}, async (tx) => {
    await tx.query('select plinth_kernel.projections_fold()');
    for (const [name, projection] of projectionsOf(plinth.modules)) await declareProjection(tx, name, projection, by);
  });
}

export async function declareProjection(tx: AnyTransaction, name: string, projection: Projection, by: DeclaredBy): Promise<void> {
  const tables = Object.values(liveTables(projection));
  const [found] = await tx.query<{ filled: boolean }>(`select ${tables.map((table) => `exists (select from ${table})`).join(' or ')} as filled`);
  const kind = projection.kind ?? 'async';
  await tx.query('select plinth_kernel.projection_declare($1, $2, $3, $4, $5)', [name, kind, String(projection.revision), found?.filled === false, by]);
}
