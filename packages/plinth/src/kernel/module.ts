import type { Effect, EffectCheck, EffectFollower, EffectInsert, EffectSink } from './effects.ts';
import type { ErrorCatalogue } from './errors.ts';
import type { Projection } from './projection.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Wake } from './wake.ts';
import type { Consumer, FeedEvent, JobDefinition, WorkerPart } from './work.ts';

/**
 * Who may see a row. `tenant`: rows of one tenant, by its tenant_id column and forced row security.
 * `global`: no tenant column; only the roles named in `grants` touch it.
 */
export type Tenancy = 'tenant' | 'global';

/**
 * How long a row lives. `partition`: the table is PARTITION BY RANGE (id) with uuid v7 ids and old partitions are dropped; `of` names
 * the partition of this table for which that is so, when only a part of it ages (finished jobs beside live ones); `unless` is a condition,
 * a partition with a row that meets it stays; `fillfactor` leaves room for rows that are updated in place, once, which VACUUM is then left out of.
 */
export type Keep =
  | 'forever'
  | {
      for: `${number} ${'days' | 'months' | 'years'}`;
      by: 'partition';
      every?: 'month' | 'day';
      archive?: boolean;
      of?: string;
      unless?: string;
      fillfactor?: number;
    }
  | { for: `${number} ${'days' | 'months' | 'years'}`; by: 'delete'; column: string; where?: string };

export type Privilege = 'select' | 'insert' | 'update' | 'delete';

/** How a row appears in `plinth.trace(correlation_id)`: SQL expressions over the table's columns. */
export interface TraceCard {
  /** Word shown to people: `audit`, `event`, `job`, `delivery`. */
  kind: string;
  /** SQL expressions; defaults in brackets. The table needs tenant_id, correlation_id and an index that starts (tenant_id, correlation_id). */
  title: string;
  /** A view of the module's schema over the table, when the table alone does not tell all. [the table] */
  from?: string;
  id?: string; // [id]
  at?: string; // [created_at]
  endedAt?: string; // [null]
  status?: string; // [null]
  entity?: string; // [null]
  parent?: string; // [causation_id], text of the id of the record that caused this one
  xact?: string; // [xact]
  attempt?: string; // [null]
  /** jsonb of what the detail pane shows. [null] */
  data?: string;
}

export interface TableCard {
  tenancy: Tenancy;
  keep: Keep;
  /** Columns that hold personal data. */
  personal?: readonly string[];
  /** Default for app: select, insert, update, delete. Append-only tables say select, insert. */
  grants?: {
    app?: readonly Privilege[];
    worker?: readonly Privilege[] /** False for tables that operators may not read either, such as secrets. Default true. */;
    reader?: boolean;
  };
  /** True when plinth_worker works on this table across tenants (claims, feeds). */
  worker?: boolean;
  /**
   * Statements for one row are what this table is for: its policy reads the setting for each row that is written, or also for each that is read. The sub-select
   * that other tables have reads it once a statement, which spares 0.35 us for each row after the first and takes up to 3 us to start (docs/adr/0016).
   */
  singleRows?: 'written' | 'read and written';
  /** Of a global table that tells of all tenants: plinth_app sees its rows outside of tenants and as an operator, and nowhere else. */
  operatorsOnly?: boolean;
  trace?: TraceCard;
  /** SQL row values for the contract tests where column types alone do not make a valid row: column -> SQL expression. */
  sample?: Record<string, string>;
}

/** What a button on a row asks before it does something: a field of its procedure's input. */
export interface ActionField {
  name: string;
  label: string;
  /**
   * `time` is asked for in the zone of the reader and sent as ISO 8601; `list` are texts with blanks, commas or lines between; `json` is JSON, and what is none is a text;
   * `flag` is sent as true or false. What is left empty is not sent.
   */
  type: 'text' | 'number' | 'time' | 'list' | 'json' | 'flag' | 'choice';
  hint?: string;
  /** Of a choice; the first one is what it begins with. */
  options?: readonly { value: string; label: string }[];
  required?: boolean;
  /** Column of the row whose value it begins with. */
  from?: string;
  /** Asked and sent only when another field has one of these values. */
  when?: { field: string; in: readonly string[] };
}

export interface ActionCard {
  /** Name of a mutation of this module's api that takes { id } and the fields. */
  procedure: string;
  label: string;
  /** Only on rows that are ready for it. */
  when?: { column: string; in: readonly string[] };
  /** Asks first. */
  danger?: boolean;
  fields?: readonly ActionField[];
  /** A mutation with the same input that says beforehand how much it would be: the number in `field` of its answer, and what that many are. */
  counts?: { procedure: string; field: string; what: string };
}

/** What is said about a row besides its columns, on its own page: why it waits, what holds it. */
export interface ExplainCard {
  /** Name of a query of this module's api that takes { id } and answers { sentence } and, where there is more to say, obstacles: [{ sentence, until }] and expected_at. */
  procedure: string;
  title: string;
  when?: { column: string; in: readonly string[] };
}

/** A list, its detail page and its actions, described as data: the console and GET /api/v1/lists/<module>/<list> are derived from it. */
export interface ListCard {
  title: string;
  /** Public view, without the schema: `audit_logs`. It must show tenant_id and id (uuid v7: newest first, keyset paging by id). */
  view: string;
  /** Columns of the list, in order. The detail page shows every column of the view. */
  columns: readonly string[];
  /** Columns that may be filtered by `column:value`; text columns by equality or prefix `value*`. */
  filters: readonly string[];
  /** Column of the correlation id, if it links to a trace. Default: correlation_id when the view has it. */
  correlation?: string;
  /** What an empty list says: what would fill it. */
  empty: string;
  /** Buttons on a row. */
  actions?: readonly ActionCard[];
  explain?: ExplainCard;
}

/**
 * A table that can be read as a feed (feed.ts): it has `shard smallint`, `position bigint generated always as identity` (cache 1),
 * `xact xid8`, `tenant_id`, `id`, `created_at` and the indexes (shard, xact, position) and (shard, position). A row's position is taken after
 * the lock that orders its stream.
 */
export interface FeedCard {
  table: string;
  /**
   * Table for rows that a consumer could not handle and that were put aside (feed-parked.ts): tenant_id, id, consumer, shard, position, event_id, event_type,
   * stream, correlation_id, error, attempts, status (`parked`, `due`, `handled`, `gone`), updated_at, ended_at.
   */
  parked: string;
  /** SQL expressions over the row `e` where the column is not called as the field is: `{ data: 'e.payload' }`. */
  columns?: Partial<Record<Exclude<keyof FeedEvent, 'details'>, string>>;
  /** SQL expression over the row `e`, a JSON object: what else there is to know, for consumers that ask for it. */
  details?: string;
  /** Makes events readable that are stored otherwise, before a consumer gets them. Default: they are as they are stored. */
  open?: (tx: AnyTransaction, events: readonly FeedEvent[]) => Promise<readonly FeedEvent[]>;
}

/** The one kind of value that a module's `api` may be: a tRPC router record (see rpc.ts). */
export type ApiRecord = Record<string, unknown>;

/** `Tx`: the transactions of its jobs and consumers, with the effects that they may count on. */
export interface ModuleCard<Name extends string = string, Effects = unknown, Api = ApiRecord, Tx extends AnyTransaction = AnyTransaction> {
  /** Schema plinth_<name>, router key, console path, docs page, error and event prefix. Lower case letters. */
  name: Name;
  summary: string;
  tables: Record<string, TableCard>;
  uses?: readonly string[];
  /** Where it lives when the tiers are separate databases. Default oltp. */
  tier?: 'oltp' | 'content' | 'olap' | 'queue' | 'notifications';
  errors?: ErrorCatalogue;
  /** What `tx.<name>` offers; rows pushed to the sink are written by plinth_<name>.write_effects(jsonb). */
  effects?: (sink: EffectSink) => Effects;
  /** A prepared INSERT for transactions with few effects of this module, when it is faster than its write_effects. */
  effectInsert?: EffectInsert;
  /** Makes, once for each kernel, the check that this module's effects pass before they are written. */
  checkEffects?: (wake: Wake) => EffectCheck;
  /** Makes, once for each kernel, what follows in the transaction on effects of this module that were written; undefined: nothing does. */
  followEffects?: (modules: ModuleMap) => EffectFollower | undefined;
  api?: Api;
  lists?: Record<string, ListCard>;
  /** Handlers of jobs by kind, with an optional cron schedule. Run by the worker. */
  jobs?: Record<string, JobDefinition<Tx>>;
  /** Readers of the event feed, registered as `<module>.<name>` when the database is migrated. Run by the worker. */
  consumers?: Record<string, Consumer<Tx>>;
  /** Tables that follow from the log, by name; they can be made anew beside the live ones. */
  projections?: Record<string, Projection>;
  /** The log that the consumers of all modules read. One module of an installation offers it. */
  feed?: FeedCard;
  /** Long-running parts, by name, that the worker process starts and stops: a dispatcher, a poller. */
  workers?: Record<string, WorkerPart>;
  /** Permissions its procedures ask for: name -> sentence. Default: <name>.read and <name>.write. */
  permissions?: Record<string, string>;
  /** Folder that holds migrations/, functions/ and views/. Default: src/modules/<name>/sql. */
  sql?: URL;
}

export type { Effect, EffectSink };

/** Permissions that a module asks for. */
export const permissionsOfCard = ({ name, permissions, lists }: AnyModule): string[] => [
  ...Object.keys(permissions ?? { [`${name}.read`]: '', [`${name}.write`]: '' }),
  ...(lists ? [`${name}.read`] : []),
];

/** Declares a module. The card is data: the kernel asks it for properties and never asks which module it is. */
export const defineModule = <const Name extends string, Effects = undefined, Api = undefined>(
  card: ModuleCard<Name, Effects, Api>,
): ModuleCard<Name, Effects, Api> => card;

export type AnyModule = ModuleCard<string, unknown, unknown>;
export type ModuleMap = Record<string, AnyModule>;

/** What `tx` offers on top of the kernel, from the cards: `{ audit: {...}, events: {...} }`. */
export type EffectsOf<Modules extends ModuleMap> = {
  readonly [K in keyof Modules as Modules[K]['effects'] extends undefined ? never : K]: Modules[K] extends ModuleCard<string, infer E, unknown> ? E : never;
};

/** Modules with every module after those it uses; the name order breaks ties, so the order never depends on the machine. */
export function inOrder(modules: ModuleMap): AnyModule[] {
  const done: AnyModule[] = [];
  const open = new Set<string>();
  const visit = (name: string, askedBy: string): void => {
    const card = modules[name];
    if (!card) throw new Error(`${askedBy} uses ${name}, and there is no such module`);
    if (done.includes(card)) return;
    if (open.has(name)) throw new Error(`${name} uses itself through ${[...open].join(' -> ')}`);
    open.add(name);
    for (const used of [...(card.uses ?? [])].sort()) visit(used, name);
    open.delete(name);
    done.push(card);
  };
  for (const name of Object.keys(modules).sort()) visit(name, 'the registry');
  return done;
}
