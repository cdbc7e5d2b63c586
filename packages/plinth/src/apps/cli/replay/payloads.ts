import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** One payload to send: a real example of GitHub under an id of its own. */
export interface Payload {
  /** UUID: delivery id, idempotency key, key of the row. */
  id: string;
  event: string;
  payload: Record<string, unknown>;
  /** Which of the run's tenants it is for, from 0. */
  tenant: number;
}

interface Example {
  name: string;
  examples: Record<string, unknown>[];
}

/** The examples that GitHub publishes (npm: @octokit/webhooks-examples), `times` times over, dealt out to the tenants. */
export async function readPayloads(options: { times: number; tenants: number; newId: () => string; limit?: number | undefined }): Promise<Payload[]> {
  let path: string;
  try {
    path = createRequire(import.meta.url).resolve('@octokit/webhooks-examples/api.github.com/index.json');
  } catch (error) {
    throw Object.assign(new Error('The example payloads are not installed', { cause: error }), {
      wayOut: 'Run this in a clone of Plinth, or: npm install --save-dev @octokit/webhooks-examples',
    });
  }
  const events = JSON.parse(await readFile(path, 'utf8')) as Example[];
  const once = events.flatMap(({ name, examples }) => examples.map((payload) => ({ event: name, payload })));
  const all = Array.from({ length: options.times }, () => once).flat();
  return all.slice(0, options.limit ?? all.length).map((example, index) => ({ ...example, id: options.newId(), tenant: index % options.tenants }));
}

/** The types that the run's subscription `github.*.opened` must deliver. */
export const isSubscribed = ({ payload }: Payload): boolean => payload.action === 'opened';
