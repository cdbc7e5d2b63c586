import type { Joinable } from '#adapters/database/joined.ts';
import { toQueryable } from '#adapters/database/joined.ts';
import type { ContextInput } from '#kernel/context.ts';
import * as feed from '#kernel/feed.ts';
import type { AnyModule } from '#kernel/module.ts';
import type { WithOwn } from '#kernel/own-modules.ts';
import { withOwn } from '#kernel/own-modules.ts';
import type { KernelOptions, Plinth as KernelPlinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Transaction } from '#kernel/transaction.ts';
import type { Consumer } from '#kernel/work.ts';
import type { Modules } from '#registry';
import { modules } from '#registry';

/** A transaction with the effects of Plinth's modules, and those of `Own`: `Tx<[typeof shop]>`. */
export type Tx<Own extends readonly AnyModule[] = []> = Transaction<WithOwn<Modules, Own>>;

export interface PlinthOptions<Own extends readonly AnyModule[]> extends Omit<KernelOptions<Modules>, 'modules'> {
  /**
   * Modules of your own, from `defineModule` of `plinth/module`. The worker runs their jobs, consumers and projections, the server has their procedures and
   * lists, and inline projections follow on what this process publishes. Give the same to every process. Default: none.
   */
  modules?: Own | undefined;
}

export interface Plinth<Own extends readonly AnyModule[] = []> extends KernelPlinth<WithOwn<Modules, Own>> {
  /**
   * Joins a transaction that you opened with pg, postgres.js, Kysely, Drizzle or Prisma: what `body` asks for is written in
   * it, and commits or rolls back with it. The role of that connection must be a member of plinth_app.
   *
   * The context (tenant, actor, reason, ...) holds for `body` alone: afterwards the settings `plinth.*` are what they were before, also when `body` throws. After a
   * statement that failed PostgreSQL sets them back itself, with your rollback to the start or to a savepoint from before the join.
   *
   * @example
   * await db.transaction().execute(async (trx) => {
   *   await trx.insertInto('orders').values({ id: 42 }).execute();
   *   await plinth.join(trx, { tenantId }, async (tx) => {
   *     tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: '42' });
   *   });
   * });
   */
  join<T>(transaction: Joinable, input: ContextInput, body: (tx: Tx<Own>) => Promise<T>): Promise<T>;
}

/**
 * Opens Plinth on a database that has been migrated (`plinth migrate up`). Close it when the process ends. Errors: kernel_database_unnamed; kernel_module_taken, kernel_module_invalid
 * for modules of your own that cannot stand beside the others.
 *
 * @example
 * const plinth = createPlinth({ database: { url }, modules: [shop] });
 */
export function createPlinth<const Own extends readonly AnyModule[] = []>(options: PlinthOptions<Own>): Plinth<Own> {
  const { modules: own = [] as unknown as Own, ...kernelOptions } = options;
  const kernel = createKernel({ ...kernelOptions, modules: withOwn(modules, own) });
  return { ...kernel, join: (transaction, input, body) => kernel.joinQueryable(toQueryable(transaction), input, body) };
}

type Consume = <Own extends readonly AnyModule[]>(plinth: Plinth<Own>, name: string, consumer: Consumer<Tx<Own>>) => Promise<number>;

/**
 * A consumer's turn, for programs that run no worker and for tests: gives it its next batch and moves its cursor, in one transaction. Returns how many events
 * were handled; 0 when there are none, others have them, or it is paused. Errors: what the handler throws, after the failure was noted.
 *
 * @example
 * while ((await consumeOnce(plinth, 'shop.search', search)) > 0);
 */
export const consumeOnce: Consume = feed.consumeOnce;

/** Gives a consumer what was put aside and may be tried again now. Returns how many events were handled. A worker does both in turn. */
export const consumeParked: Consume = feed.consumeParked;

export type { Actor, Context, ContextInput } from '#kernel/context.ts';
export { currentContext } from '#kernel/context.ts';
export { PlinthError, unavailable } from '#kernel/errors.ts';
export type { KeyRing } from '#kernel/keys.ts';
export { createKeyRing } from '#kernel/keys.ts';
export type { RebuildOptions, RebuildProgress, RebuildReport } from '#kernel/projection-rebuild.ts';
export { cancelRebuild, rebuildProjection } from '#kernel/projection-rebuild.ts';
export type { Consumer, FeedEvent, WorkerTransaction } from '#kernel/work.ts';
export type {
  Aggregate,
  Append,
  Appended,
  AppendOptions,
  Catalogue,
  CatalogueType,
  CloudEvent,
  CloudEventMessage,
  CloudEventSource,
  Erasure,
  EventBus,
  EventOptions,
  ExpectedVersion,
  Fold,
  Fossil,
  FromCloudEvent,
  JsonChange,
  LoadOptions,
  NewEvent,
  PublishOptions,
  ReadOptions,
  RelayMessage,
  StateDifference,
  Stream,
  StreamEvent,
  UpcastEvent,
  Upcaster,
  UpcasterChains,
  Upcasters,
} from '#modules/events';
export {
  appendNow,
  asyncApi,
  cloudEventBatch,
  cloudEventMessage,
  defineUpcasters,
  diffAggregate,
  eraseSubject,
  firstId,
  firstIds,
  fossilFaults,
  fromCloudEvent,
  loadAggregate,
  openApiWebhooks,
  readCatalogue,
  readCloudEvents,
  readStream,
  realtimeOffset,
  relayTo,
  reveal,
  revealText,
  rewrapSubjectKeys,
  toCloudEvent,
  typescriptTypes,
} from '#modules/events';
export type { GenericOptions, InboundMessage, InboundProfile, Receipt, Received, Signing, VerifiedMessage } from '#modules/webhooks';
export { keysOfJwks, receiveWebhook, signAs, signMessage, verifyInbound, verifyMessage } from '#modules/webhooks';
