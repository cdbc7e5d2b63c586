import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { PlinthError } from '#kernel/errors.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { signMessage, verifyMessage } from './sign.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const NOW = new Date('2026-11-21T12:00:00Z');
const seconds = (at: Date): number => Math.floor(at.getTime() / 1000);
const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampSeconds: 1614265330, body: '{"test": 2432232314}' };
const newSecret = (size = 32): string => `whsec_${randomBytes(size).toString('base64')}`;
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof PlinthError) return error.code;
    throw error;
  }
  return 'no error';
};
const verify = (headers: Record<string, string>, body: Uint8Array | string, secrets = [SECRET], now = NOW) => verifyMessage({ secrets, headers, body, now });

describe('signing', () => {
  test('gives the signature of the published example', () => {
    expect(signMessage([SECRET], message)['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  const seed = drawnSeed();
  test(`agrees with the npm package standardwebhooks in both directions (seed ${seed})`, () => {
    const anyMessage = fc.record({
      id: fc.stringMatching(/^[A-Za-z0-9_-]{1,60}$/),
      body: fc.string({ unit: 'binary', maxLength: 300 }),
      size: fc.integer({ min: 24, max: 64 }),
    });
    fc.assert(
      fc.property(anyMessage, ({ id, body, size }) => {
        const secret = newSecret(size);
        const theirs = new Webhook(secret);
        const at = new Date();
        const ours = signMessage([newSecret(), secret], { id, timestampSeconds: seconds(at), body: Buffer.from(body) });
        theirs.verify(body, ours, { jsonParse: false });
        const headers = { 'Webhook-Id': id, 'Webhook-Timestamp': String(seconds(at)), 'Webhook-Signature': theirs.sign(id, at, body) };
        expect(verify(headers, Buffer.from(body), [secret], at).id).toBe(id);
      }),
      { seed, numRuns: drawnRuns(300) },
    );
  });

  test('covers bodies that are empty, large or not UTF-8, byte for byte', () => {
    for (const body of [new Uint8Array(), Uint8Array.of(0xff, 0xfe, 0x00, 0x80), randomBytes(1_048_576)]) {
      const headers = signMessage([SECRET], { id: 'msg_1', timestampSeconds: seconds(NOW), body });
      expect(verify(headers, body).id).toBe('msg_1');
      expect(codeOf(() => verify(headers, Buffer.concat([body, Buffer.from([0])])))).toBe('webhooks_signature_invalid');
    }
  });

  test('during a rotation one header carries a signature for each secret, newest first', () => {
    const [fresh, old] = [newSecret(), newSecret()];
    const headers = signMessage([fresh, old], { id: 'msg_1', timestampSeconds: seconds(NOW), body: 'x' });
    expect(headers['webhook-signature'].split(' ')).toHaveLength(2);
    expect(verify(headers, 'x', [fresh]).id).toBe('msg_1');
    expect(verify(headers, 'x', [old]).id).toBe('msg_1');
    expect(codeOf(() => verify(headers, 'x', [newSecret()]))).toBe('webhooks_signature_invalid');
  });

  test.each(['whsec_', 'whsec_c2hvcnQ=', 'whsec_not base64 at all, but long enough to be', `whsec_${Buffer.alloc(65).toString('base64')}`, ''])(
    '"%s" is no secret',
    (secret) => {
      expect(codeOf(() => signMessage([secret], message))).toBe('webhooks_secret_invalid');
    },
  );
  test('no secret at all does not sign', () => expect(codeOf(() => signMessage([], message))).toBe('webhooks_secret_invalid'));
  test.each(['a.b', '', 'a b', 'a\nb', 'x'.repeat(201)])('"%s" is no message id', (id) =>
    expect(codeOf(() => signMessage([SECRET], { ...message, id }))).toBe('webhooks_message_invalid'),
  );
});

describe('verifying', () => {
  const headers = signMessage([SECRET], { id: 'msg_1', timestampSeconds: seconds(NOW), body: 'x' });
  const after = (offsetSeconds: number): Date => new Date(NOW.getTime() + offsetSeconds * 1000);

  test('accepts five minutes to either side and nothing more', () => {
    expect(verify(headers, 'x', [SECRET], after(300)).signedAt).toEqual(NOW);
    expect(verify(headers, 'x', [SECRET], after(-300)).id).toBe('msg_1');
    expect(codeOf(() => verify(headers, 'x', [SECRET], after(301)))).toBe('webhooks_timestamp_out_of_tolerance');
    expect(codeOf(() => verify(headers, 'x', [SECRET], after(-301)))).toBe('webhooks_timestamp_out_of_tolerance');
  });

  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('without %s nothing is verified', (name) => {
    const { [name]: _left, ...rest } = headers as Record<string, string>;
    expect(codeOf(() => verify(rest, 'x'))).toBe('webhooks_headers_missing');
  });

  test('every part of the message is covered', () => {
    const changed = [
      { 'webhook-id': 'msg_2' },
      { 'webhook-timestamp': String(seconds(NOW) + 1) },
      { 'webhook-signature': headers['webhook-signature'].replace(/v1,./, 'v1,!') },
    ];
    for (const change of changed) expect(codeOf(() => verify({ ...headers, ...change }, 'x'))).toBe('webhooks_signature_invalid');
    expect(codeOf(() => verify(headers, 'y'))).toBe('webhooks_signature_invalid');
  });

  test('a dot cannot move bytes between id, timestamp and body', () => {
    const forged = { ...headers, 'webhook-id': `msg_1.${seconds(NOW)}` };
    expect(codeOf(() => verify(forged, 'x'))).toBe('webhooks_headers_missing');
  });

  test('other versions are passed over; a header full of signatures is bounded', () => {
    const mixed = { ...headers, 'webhook-signature': `v1a,AAAA ${headers['webhook-signature']} v2,BBBB` };
    expect(verify(mixed, 'x').id).toBe('msg_1');
    const flood = { ...headers, 'webhook-signature': `${'v1,AAAA '.repeat(1000)}${headers['webhook-signature']}` };
    expect(codeOf(() => verify(flood, 'x'))).toBe('webhooks_signature_invalid');
  });

  test.each(['1e9', '-5', '0x10', '99999999999999', ' 1'])('"%s" is no timestamp', (timestamp) => {
    expect(codeOf(() => verify({ ...headers, 'webhook-timestamp': timestamp }, 'x'))).toBe('webhooks_headers_missing');
  });
});
