import type { AnyRouter } from '@trpc/server';
import type { ApiRecord, ModuleMap } from '#kernel/module.ts';
import type { Records } from '#kernel/records.ts';
import { router } from '#kernel/rpc.ts';
import { recordsApi } from './records-api.ts';

/**
 * The router of an installation: `system.<module>.<procedure>` from the cards, the lists, the search and the traces derived from them, and
 * what the application adds. Errors: when two ask for the same name.
 */
export function createRouter(modules: ModuleMap, records: Records, extra: Record<string, ApiRecord>): AnyRouter {
  const system: ApiRecord = { ...recordsApi(records) };
  const parts = [...Object.entries(modules).map(([name, card]) => [name, card.api] as const), ...Object.entries(extra)];
  for (const [name, api] of parts) {
    if (!api) continue;
    if (name in system) throw new Error(`nothing more can be called ${name}: the name is taken in the router`);
    system[name] = api;
  }
  return router({ system } as Parameters<typeof router>[0]);
}
