import type { Joinable } from '#adapters/database/joined.ts';
import { toQueryable } from '#adapters/database/joined.ts';
import type { ContextInput } from '#kernel/context.ts';
import type { KernelOptions, Plinth as KernelPlinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Transaction } from '#kernel/transaction.ts';
import type { Modules } from '#registry';
import { modules } from '#registry';

export type Tx = Transaction<Modules>;

export interface Plinth extends KernelPlinth<Modules> {
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
  join<T>(transaction: Joinable, input: ContextInput, body: (tx: Tx) => Promise<T>): Promise<T>;
}

/** Opens Plinth on a database that has been migrated (`plinth migrate up`). Close it when the process ends. */
export function createPlinth(options: Omit<KernelOptions<Modules>, 'modules'>): Plinth {
  const kernel = createKernel({ ...options, modules });
  return { ...kernel, join: (transaction, input, body) => kernel.joinQueryable(toQueryable(transaction), input, body) };
}

export type { Actor, Context, ContextInput } from '#kernel/context.ts';
export { currentContext } from '#kernel/context.ts';
export { PlinthError } from '#kernel/errors.ts';
export type { KeyRing } from '#kernel/keys.ts';
export { createKeyRing } from '#kernel/keys.ts';
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
  reveal,
  rewrapSubjectKeys,
  toCloudEvent,
  typescriptTypes,
} from '#modules/events';
export type { GenericOptions, InboundMessage, InboundProfile, Receipt, Received, Signing, VerifiedMessage } from '#modules/webhooks';
export { keysOfJwks, receiveWebhook, signAs, signMessage, verifyInbound, verifyMessage } from '#modules/webhooks';
