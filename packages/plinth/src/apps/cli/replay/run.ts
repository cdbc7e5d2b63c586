import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { uuidV7 } from '#kernel/ids.ts';
import { chaos } from './chaos.ts';
import { call, untilAcknowledged } from './client.ts';
import type { Payload } from './payloads.ts';
import { isSubscribed, readPayloads } from './payloads.ts';
import { startChild } from './processes.ts';
import type { Stack } from './stack.ts';
import type { Acknowledged, Verdict } from './verdict.ts';
import { judge, readReceived, unfinished } from './verdict.ts';

export interface ReplayOptions {
  dataDir: string;
  /** Payloads a second; 0: as fast as they are acknowledged. */
  rate: number;
  tenants: number;
  times: number;
  limit?: number | undefined;
  crash: boolean;
  seed: number;
  onProgress: (line: { acknowledged: number; of: number; kills: number; phase: 'sending' | 'settling' }) => void;
  /** Aborting it ends the run with its reason, after what the run made elsewhere was removed. */
  signal?: AbortSignal;
  /** Longest wait for jobs and deliveries after the last payload, ms. Default 180,000. */
  settleMs?: number;
}

export interface ReplayResult {
  verdict: Verdict;
  kills: Record<string, number>;
  sentAgain: number;
  sendingMs: number;
  wallMs: number;
}

const SENDERS = 8;

interface Tenant {
  id: string;
  key: string;
  subscription: string;
}

/** A tenant with a key of its own and a subscription to what is opened; a tenant of an earlier run is used again. */
async function makeTenant(stack: Stack, index: number, run: string, url: string, secret: string): Promise<Tenant> {
  const slug = `replay-${index + 1}`;
  const made = await call<{ id: string }>(stack, 'POST', '/tenants', { body: { slug, name: `Replay ${index + 1}` } }).catch(async (error: unknown) => {
    const { tenants } = await call<{ tenants: { id: string; slug: string }[] }>(stack, 'GET', `/tenants?limit=200&q=${slug}`);
    const found = tenants.find((tenant) => tenant.slug === slug);
    if (!found) throw error;
    return found;
  });
  const { secret: key } = await call<{ secret: string }>(stack, 'POST', '/keys', {
    tenant: made.id,
    body: { name: `replay ${run}`, scopes: ['github.*', 'webhooks.*', 'events.*'] },
  });
  const subscription = await call<{ id: string }>(stack, 'POST', '/webhooks/subscriptions', {
    key,
    body: { name: `replay ${run}`, patterns: ['github.*.opened'], url, secret },
  });
  return { id: made.id, key, subscription: subscription.id };
}

/** Registers every event type that is to come with a JSON Schema, so that payloads are validated. */
async function defineTypes(stack: Stack, tenants: readonly Tenant[], payloads: readonly Payload[]): Promise<void> {
  const types = new Set(payloads.map(({ event, payload }) => (typeof payload.action === 'string' ? `github.${event}.${payload.action}` : `github.${event}`)));
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    required: ['delivery_id'],
    properties: { delivery_id: { type: 'string', format: 'uuid' }, action: { type: 'string' }, sender: { type: 'object', required: ['login'] } },
  };
  const waiting = tenants.flatMap(({ key }) => [...types].map((type) => ({ key, type })));
  await Promise.all(
    Array.from({ length: SENDERS }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const { key, type } = next;
        await untilAcknowledged(() => call(stack, 'PUT', `/event-types/${type}`, { key, body: { schema, mode: 'reject' } }));
      }
    }),
  );
}

async function sendAll(stack: Stack, tenants: readonly Tenant[], payloads: readonly Payload[], options: ReplayOptions, kills: () => number) {
  const acknowledged = new Map<string, Acknowledged>();
  let sentAgain = 0;
  let next = 0;
  const started = performance.now();
  const sender = async (): Promise<void> => {
    for (let payload = payloads[next++]; payload; payload = payloads[next++]) {
      const { id, event, payload: body, tenant } = payload;
      const due = options.rate > 0 ? started + ((next - 1) / options.rate) * 1000 : 0;
      if (due > performance.now()) await pause(due - performance.now());
      const { id: tenantId = '', key = '' } = tenants[tenant] ?? {};
      const { result, tries } = await untilAcknowledged(() =>
        call<{ correlation_id: string }>(stack, 'POST', '/github/deliveries', { key, idempotencyKey: id, body: { id, event, payload: body } }),
      );
      acknowledged.set(id, { correlationId: result.correlation_id, tenantId });
      sentAgain += tries - 1;
      options.onProgress({ acknowledged: acknowledged.size, of: payloads.length, kills: kills(), phase: 'sending' });
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return { acknowledged, sentAgain };
}

/** Waits until every job took effect and every webhook that is due was received. */
async function settle(stack: Stack, notes: string, payloads: readonly Payload[], acknowledged: ReadonlyMap<string, unknown>, limitMs: number): Promise<void> {
  const wanted = payloads.filter((payload) => isSubscribed(payload) && acknowledged.has(payload.id));
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    const seen = new Set((await readReceived(notes)).map(({ deliveryId }) => deliveryId));
    if (wanted.every(({ id }) => seen.has(id)) && (await unfinished(stack.adminUrl, payloads)) === 0) return;
    await pause(100);
  }
}

/** Rejects when the signal is aborted, and never resolves. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal?.aborted) reject(signal.reason);
  signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}

/** Sends the payloads through the stack and counts what came of them. */
export async function replay(stack: Stack, options: ReplayOptions): Promise<ReplayResult> {
  const started = performance.now();
  const run = new Date()
    .toISOString()
    .replaceAll(/[^0-9]/g, '')
    .slice(0, 14);
  const folder = join(options.dataDir, `receiver-${process.pid}`);
  await mkdir(folder, { recursive: true });
  const notes = join(folder, 'received.ndjson');
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const receiver = await startChild({ part: 'receiver', port: 0, dataDir: folder, secret, notes });
  const sent = new AbortController();
  const over = new AbortController();
  let killed = 0;
  let killing: Promise<Record<string, number>> = Promise.resolve({});
  const tenants: Tenant[] = [];
  try {
    for (let index = 0; index < options.tenants; index++)
      tenants.push(await makeTenant(stack, index, run, `http://127.0.0.1:${receiver.port}/${index}`, secret));
    const payloads = await readPayloads({ times: options.times, tenants: options.tenants, newId: uuidV7, limit: options.limit });
    await defineTypes(stack, tenants, payloads);
    if (options.crash) killing = chaos(stack, options.seed, { sent: sent.signal, over: over.signal }, () => killed++);
    // A part that cannot be started again ends the run instead of leaving it waiting.
    const failing = Promise.race([killing.then(() => new Promise<never>(() => {})), aborted(options.signal)]);
    failing.catch(() => {});
    const sending = performance.now();
    const { acknowledged, sentAgain } = await Promise.race([sendAll(stack, tenants, payloads, options, () => killed), failing]);
    const sendingMs = performance.now() - sending;
    sent.abort();
    const kills = await killing;
    options.onProgress({ acknowledged: acknowledged.size, of: payloads.length, kills: killed, phase: 'settling' });
    await Promise.race([settle(stack, notes, payloads, acknowledged, options.settleMs ?? 180_000), failing]);
    const verdict = await judge(stack.adminUrl, notes, payloads, acknowledged);
    return { verdict, kills, sentAgain, sendingMs, wallMs: performance.now() - started };
  } finally {
    over.abort();
    await killing.catch(() => {});
    for (const { key, subscription } of tenants) await call(stack, 'DELETE', `/webhooks/subscriptions/${subscription}`, { key }).catch(() => {});
    await receiver.kill();
    await rm(folder, { recursive: true, force: true });
  }
}
