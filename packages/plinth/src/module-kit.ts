/** What one needs to write a module: `import { defineModule, procedure } from 'plinth/module'`. */
import type * as kernel from '#kernel/module.ts';
import { defineModule as define } from '#kernel/module.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type * as work from '#kernel/work.ts';
import type { Tx } from './index.ts';

export type Consumer<T extends AnyTransaction = Tx> = work.Consumer<T>;
export type JobDefinition<T extends AnyTransaction = Tx> = work.JobDefinition<T>;
export type JobRun<T extends AnyTransaction = Tx> = work.JobRun<T>;
export type ThreadJobDefinition<T extends AnyTransaction = Tx> = work.ThreadJobDefinition<T>;

/**
 * Declares a module, for `createPlinth({ modules: [shop] })`. The transactions of its jobs and consumers have the effects of Plinth's modules.
 *
 * @example
 * const shop = defineModule({ name: 'shop', summary: 'A shop', tables: {}, uses: ['events'], consumers: { totals }, projections: { sales } });
 */
export const defineModule = <const Name extends string, Effects = undefined, Api = undefined>(
  card: kernel.ModuleCard<Name, Effects, Api, Tx>,
): kernel.ModuleCard<Name, Effects, Api> => define(card as unknown as kernel.ModuleCard<Name, Effects, Api>);

export type { EffectSink } from '#kernel/effects.ts';
export type { ErrorCatalogue } from '#kernel/errors.ts';
export { PlinthError, raiser } from '#kernel/errors.ts';
export type { ActionCard, ActionField, ListCard, ModuleMap, TableCard } from '#kernel/module.ts';
export type { Projection, ProjectionTables } from '#kernel/projection.ts';
export { defineProjection } from '#kernel/projection.ts';
export { procedure } from '#kernel/rpc.ts';
export type { FeedEvent, ThreadRun } from '#kernel/work.ts';
