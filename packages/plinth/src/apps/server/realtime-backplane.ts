import { clientBeside, endWithin } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Backplane } from '#kernel/wake.ts';
import { listenForWakes } from '#kernel/wake.ts';

const RETRY_MS = 1_000;
const LIFE_SIGN_MS = 20_000;
/** Longest wait for a good end of a connection. */
const END_MS = 1_000;

/**
 * LISTEN on a connection of its own; what writers NOTIFY after COMMIT arrives here. It needs a session: behind a pooler in transaction mode
 * give the server another backplane, or none.
 */
export function postgresBackplane(plinth: Pick<Plinth<ModuleMap>, 'pool'>): Backplane {
  return {
    listen(onHint, log) {
      const stopped = new AbortController();
      const once = async (): Promise<void> => {
        const client = clientBeside(plinth.pool, { application_name: 'plinth server listen', query_timeout: 5_000 });
        const { promise: over, resolve } = Promise.withResolvers<void>();
        client.on('error', () => resolve());
        client.on('end', () => resolve());
        stopped.signal.addEventListener('abort', () => resolve(), { once: true });
        // A half-open connection delivers nothing and reports nothing.
        const alive = setInterval(() => void client.query('select 1').catch(() => resolve()), LIFE_SIGN_MS).unref();
        try {
          await client.connect();
          await listenForWakes(client, onHint);
          await over;
        } finally {
          clearInterval(alive);
          await endWithin(client, END_MS);
        }
      };
      const run = async (): Promise<void> => {
        while (!stopped.signal.aborted) {
          await once().catch((error: unknown) => log.warn({ err: error }, 'hints of other processes cannot be heard'));
          if (!stopped.signal.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      };
      void run();
      return () => stopped.abort();
    },
  };
}
