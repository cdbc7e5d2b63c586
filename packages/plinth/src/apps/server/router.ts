import type { AnyRouter } from '@trpc/server';
import type { ApiRecord, ModuleMap } from '#kernel/module.ts';
import { router } from '#kernel/rpc.ts';
import { recordsApi } from './records-api.ts';

/** The router of an installation: `system.<module>.<procedure>` from the cards, and the lists, the search and the traces derived from them. */
export function createRouter(modules: ModuleMap): AnyRouter {
  const system: ApiRecord = { ...recordsApi(modules) };
  for (const [name, card] of Object.entries(modules)) {
    if (!card.api) continue;
    if (name in system) throw new Error(`a module cannot be called ${name}: the name is taken in the router`);
    system[name] = card.api;
  }
  return router({ system } as Parameters<typeof router>[0]);
}
