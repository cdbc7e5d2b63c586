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

/**
 * A part of the examples that stands for all: those that the subscription delivers, which are few and stand together, and as many of
 * the others, taken at even distances, as there is room for. The order stays.
 */
function chosen(all: readonly Omit<Payload, 'id' | 'tenant'>[], limit: number): Omit<Payload, 'id' | 'tenant'>[] {
  if (limit >= all.length) return [...all];
  const places = all.map((example, index) => ({ index, delivered: isSubscribed(example) }));
  const delivered = places.filter((place) => place.delivered).slice(0, Math.ceil(limit / 2));
  const others = places.filter((place) => !place.delivered);
  const room = limit - delivered.length;
  const spread = Array.from({ length: room }, (_, turn) => others[Math.floor((turn * others.length) / room)]).filter((place) => place !== undefined);
  const taken = new Set([...delivered, ...spread].map(({ index }) => index));
  return all.filter((_, index) => taken.has(index));
}

/** The examples that GitHub publishes (npm: @octokit/webhooks-examples), `times` times over, dealt out to the tenants. */
export async function readPayloads(options: { times: number; tenants: number; newId: () => string; limit?: number | undefined }): Promise<Payload[]> {
  let path: string;
  try {
    path = createRequire(import.meta.url).resolve('@octokit/webhooks-examples/api.github.com/index.json');
  } catch (error) {
    throw Object.assign(new Error('The example payloads are not installed', { cause: error }), {
      wayOut: 'Install them: npm install',
    });
  }
  const events = JSON.parse(await readFile(path, 'utf8')) as Example[];
  const once = events.flatMap(({ name, examples }) => examples.map((payload) => ({ event: name, payload })));
  const all = Array.from({ length: options.times }, () => once).flat();
  return chosen(all, options.limit ?? all.length).map((example, index) => ({ ...example, id: options.newId(), tenant: index % options.tenants }));
}

/** The types that the run's subscription `github.*.opened` must deliver. */
export const isSubscribed = ({ payload }: Pick<Payload, 'payload'>): boolean => payload.action === 'opened';
