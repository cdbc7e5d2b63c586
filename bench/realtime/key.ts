import { createHandler, createServices, ensureAdminKey } from '../../packages/plinth/src/apps/server/index.ts';
import type { Plinth } from '../../packages/plinth/src/index.ts';

/** An API key of a tenant, that may read events unless told otherwise. */
export async function readingKey(plinth: Plinth, tenantId: string, scopes: readonly string[] = ['events.read']): Promise<string> {
  const handler = createHandler({ plinth, services: createServices({ log: { level: 'silent' } }) });
  const { secret } = await ensureAdminKey(plinth);
  const response = await handler(
    new Request('http://plinth.bench/api/v1/keys', {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', 'x-plinth-tenant': tenantId, 'x-plinth-reason': 'benchmark' },
      body: JSON.stringify({ name: 'benchmark', scopes }),
    }),
  );
  const made = (await response.json()) as { secret?: string };
  await handler.settle();
  if (!made.secret) throw new Error(`no key could be made: ${JSON.stringify(made)}`);
  return made.secret;
}
