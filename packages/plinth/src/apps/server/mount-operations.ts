import { fail } from '#kernel/errors.ts';
import { json } from './answer.ts';
import { observeConsumers } from './consumer-metrics.ts';
import { observeHealth } from './health-metrics.ts';
import type { Host, Server } from './host.ts';
import { only } from './host.ts';
import { observeQueues } from './queue-metrics.ts';
import { readiness } from './ready.ts';

/** What whoever keeps the process alive asks. */
export function mountOperations(app: Server, host: Pick<Host, 'plinth' | 'log' | 'options'>): void {
  only(app, 'GET', '/livez', () => json({ alive: true }));
  let looking: ReturnType<typeof readiness> | undefined;
  only(app, 'GET', '/readyz', async () => {
    // Anybody may ask, and each look takes a connection: those who ask meanwhile share it.
    looking ??= readiness(host.plinth, host.options.tiers ?? {}).finally(() => {
      looking = undefined;
    });
    const state = await looking;
    return json(state, state.ready ? 200 : 503);
  });
  let observed = false;
  only(app, 'GET', '/metrics', async () => {
    if (!host.options.metrics) throw fail('unknown_route', { message: 'This process serves no metrics' });
    // Not before: an instrument of no provider stays silent for ever.
    if (!observed) {
      observeQueues(host.plinth, host.log);
      observeConsumers(host.plinth, host.log);
      observeHealth(host.plinth, host.log);
    }
    observed = true;
    const { contentType, text } = await host.options.metrics();
    return new Response(text, { headers: { 'content-type': contentType } });
  });
}
