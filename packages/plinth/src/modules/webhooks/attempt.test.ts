/** What one attempt makes of what the way out tells it. */
import { describe, expect, test } from 'vitest';
import { PlinthError } from '#kernel/errors.ts';
import type { ClaimedDelivery } from './attempt.ts';
import { attemptDelivery, retryAfterMs } from './attempt.ts';
import type { HttpAnswer, HttpRequest, HttpSender } from './sender.ts';
import { senderOf } from './sender.ts';
import { verifyMessage } from './sign.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const delivery: ClaimedDelivery = {
  tenant_id: 't',
  id: 'msg_1',
  lease_id: 'l',
  lane_key: null,
  subscription_id: 's',
  url: 'https://example.com/hooks',
  secrets: [SECRET],
  signing: 'v1',
  event_id: 'e',
  event_type: 'order.created',
  body: '{"type":"order.created"}',
  attempt: 1,
  format: null,
  reveal: false,
  correlation_id: null,
};
const timings = { dns: 1, connect: 2, tls: 3, wait: 4, total: 10.4 };
const answer = (status: number, more: Partial<HttpAnswer> = {}): HttpAnswer => ({
  status,
  headers: {},
  location: undefined,
  body: new Uint8Array(),
  timings,
  ...more,
});

async function attempt(send: HttpSender['send'], signal = new AbortController().signal, claimed = delivery) {
  const failures: unknown[] = [];
  const settled = await attemptDelivery(claimed, {
    sender: { send },
    clock: { now: () => NOW },
    timeoutMs: 15_000,
    signal,
    onFailure: (_delivery, error) => failures.push(error),
  });
  return { settled, failures };
}

describe('an attempt', () => {
  test('is signed for the moment at which it is made, and asks the way out to cut long answers', async () => {
    let sent: HttpRequest | undefined;
    const { settled } = await attempt(async (request) => {
      sent = request;
      return answer(200, {
        headers: { 'set-cookie': 'session=1', 'x-long': 'x'.repeat(2000) },
        body: Buffer.concat([Buffer.from('ok \0 \u{1F94A}'), Buffer.from([0xff])]),
      });
    });
    expect(verifyMessage({ secrets: [SECRET], headers: sent?.headers ?? {}, body: sent?.body ?? '', now: new Date(NOW) }).id).toBe('msg_1');
    expect(sent).toMatchObject({ method: 'POST', onLargeBody: 'truncate', idempotent: true, timeoutMs: 15_000 });
    expect(settled).toMatchObject({ outcome: 'delivered', lease_id: 'l', response_code: 200, response_time_ms: 10, timings });
    expect(settled.response_body).toBe('ok \uFFFD \u{1F94A}\uFFFD');
    expect(settled.response_headers?.['set-cookie']).toBe('(not kept)');
    expect(settled.response_headers?.['x-long']).toHaveLength(500);
    expect(JSON.stringify(settled)).not.toContain(SECRET);
  });

  test('an answer that is cut in the middle of a character stays valid text', async () => {
    const { settled } = await attempt(async () => answer(200, { body: Buffer.from('x'.repeat(4095) + '\u{1F94A}'.repeat(10)) }));
    expect(settled.response_body).toHaveLength(4096);
    expect(settled.response_body?.isWellFormed()).toBe(true);
  });

  test.each([
    [200, 'delivered'],
    [204, 'delivered'],
    [299, 'delivered'],
    [300, 'failed'],
    [301, 'failed'],
    [400, 'failed'],
    [404, 'failed'],
    [410, 'gone'],
    [429, 'failed'],
    [500, 'failed'],
    [599, 'failed'],
  ])('%i is %s', async (status, outcome) => {
    expect((await attempt(async () => answer(status))).settled.outcome).toBe(outcome);
  });

  test('a failure on the way is told by its sentence; the rest goes to the operator', async () => {
    const error = Object.assign(new PlinthError('egress_refused', { status: 422, title: 'Not to be called', wayOut: 'Use another.' }), {
      permanent: true,
      timings,
      operatorDetail: 'it is 10.0.0.1',
    });
    const { settled, failures } = await attempt(() => Promise.reject(error));
    expect(settled).toMatchObject({
      outcome: 'failed',
      permanent: true,
      error_code: 'egress_refused',
      error_message: 'Not to be called. Use another.',
      timings,
    });
    expect(JSON.stringify(settled)).not.toContain('10.0.0.1');
    expect(failures).toEqual([error]);
  });

  test('a fault of ours is no sentence of the database, and is tried again', async () => {
    const { settled } = await attempt(() => Promise.reject(new Error('secret internals')));
    expect(settled).toMatchObject({ outcome: 'failed', permanent: false, error_code: 'kernel_internal' });
    expect(JSON.stringify(settled)).not.toContain('secret internals');
  });

  test('a subscription without a secret fails instead of sending unsigned', async () => {
    let calls = 0;
    const send = async (): Promise<HttpAnswer> => {
      calls += 1;
      return answer(200);
    };
    const { settled } = await attempt(send, undefined, { ...delivery, secrets: [] });
    expect(settled).toMatchObject({ outcome: 'failed', error_code: 'webhooks_secret_invalid' });
    expect(calls).toBe(0);
  });

  test('one that was called back is returned, not failed', async () => {
    const stop = new AbortController();
    const { settled, failures } = await attempt(() => {
      stop.abort();
      return Promise.reject(new Error('aborted'));
    }, stop.signal);
    expect(settled).toEqual({ tenant_id: 't', id: 'msg_1', lease_id: 'l', subscription_id: 's', lane_key: null, outcome: 'returned' });
    expect(failures).toEqual([]);
  });
});

test.each([
  ['120', 120_000],
  [' 5 ', 5000],
  ['0', 0],
  ['Sat, 21 Nov 2026 12:01:00 GMT', 60_000],
  ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
  ['soon', undefined],
  ['-5', undefined],
  ['99999999999', undefined],
  [undefined, undefined],
])('Retry-After %j asks for %j ms', (value, expected) => {
  expect(retryAfterMs(value, NOW)).toBe(expected);
});

test('a worker without the way out does not start', () => {
  expect(() => senderOf({})).toThrow(/adapter egress/);
});
