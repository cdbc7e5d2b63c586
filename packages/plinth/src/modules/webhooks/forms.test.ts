/** From an event to a receiver that verifies in the form that its subscription chose, filtered and transformed. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { consumeOnce } from '#kernel/feed.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { webhookReceiver } from '#testing/webhook-receiver.ts';
import { fanOut } from './consumer.ts';
import { deriveKeys } from './derive-keys.ts';
import { dispatcher } from './dispatch.ts';
import type { InboundProfile } from './inbound.ts';
import { verifyInbound } from './inbound.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_forms');
});
afterAll(() => database.drop());

test('each receiver gets what passes its filter, in its shape, signed in its form; the other tenant gets nothing', async () => {
  const { plinth, tenantA, tenantB } = database;
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const egress = createEgress({ policy: developmentPolicy });
  const services = { clock: { now: () => Date.now() }, log: quiet, adapters: { egress }, enabled: () => true };
  const forms = ['v1', 'v1a', 'both', 'stripe', 'github', 'slack'] as const;
  const receivers = await Promise.all(
    forms.map(async (signing) => {
      const receiver = await webhookReceiver();
      const [made] = await plinth.transaction({ tenantId: tenantA }, (tx) =>
        tx.query<{ id: string; secret: string | null }>(
          `select subscription_id as id, secret from plinth.subscribe($1, '{order.*}', $2, p_filter => '"$.data.n > 1"', p_transform => '{"omit": ["data.secret"]}', p_signing => $1)`,
          [signing, receiver.url],
        ),
      );
      return { signing, receiver, id: made?.id ?? '', secret: made?.secret ?? null };
    }),
  );
  const part = dispatcher({ pollMs: 50 })({ plinth, services, wake: plinth.wake } as unknown as WorkerRuntime);
  try {
    await plinth.asWorker({}, deriveKeys);
    for (const tenantId of [tenantA, tenantB])
      await plinth.transaction({ tenantId }, async (tx) => {
        for (const n of [1, 2]) tx.events.publish('order.paid', { n, secret: 's', text: 'zwölf \u{1F94A}' });
      });
    while ((await consumeOnce(plinth, 'webhooks.fan-out', fanOut)) > 0);
    for (const { signing, receiver, id, secret } of receivers) {
      await receiver.waitFor(1);
      const [got] = receiver.received;
      const [row] = await plinth.transaction({ tenantId: tenantA }, (tx) =>
        tx.query<{ keys: string[] }>('select public_keys as keys from plinth.event_subscriptions where id = $1', [id]),
      );
      const profile: InboundProfile = signing === 'stripe' || signing === 'github' || signing === 'slack' ? signing : 'standard';
      const known = [...(secret === null ? [] : [secret]), ...(row?.keys ?? [])];
      expect(known.length, signing).toBe(signing === 'both' ? 2 : 1);
      for (const one of known)
        expect(verifyInbound({ profile, secrets: [one], headers: got?.headers ?? {}, body: got?.body ?? '', now: new Date() }), signing).toBeTruthy();
      expect(got?.headers['webhook-id'], signing).toMatch(/^[0-9a-f-]{36}$/);
      expect(got?.data).toMatchObject({ type: 'order.paid', data: { n: 2, text: 'zwölf \u{1F94A}' } });
      expect(got?.body).not.toContain('secret');
    }
  } finally {
    await part.stop();
    egress.close();
    for (const { receiver } of receivers) await receiver.close();
  }
  for (const { receiver } of receivers) expect(receiver.received).toHaveLength(1);
});
