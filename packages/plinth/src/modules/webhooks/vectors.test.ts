/** Signatures that others published or made: the same bytes must come out here, and theirs must verify. */
import { createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PlinthError } from '#kernel/errors.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { hmac, keyFor } from './hmac.ts';
import type { InboundMessage } from './inbound.ts';
import { inboundType, verifyInbound } from './inbound.ts';
import { jwkOf, keysOfJwks, publicHalf } from './keys.ts';
import type { Signing } from './profiles.ts';
import { signAs } from './profiles.ts';
import { signMessage, verifyMessage } from './sign.ts';

const AT = 1_614_265_330;
const now = new Date(AT * 1000);
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof PlinthError) return error.code;
    throw error;
  }
  return 'no error';
};

const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
/** Svix's own example of a key pair, in its server's documentation. */
const WHSK = 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==';
const WHPK = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=';
const SEED = `whsk_${Buffer.from(WHSK.slice(5), 'base64').subarray(0, 32).toString('base64')}`;

const vectors = [
  {
    from: 'the specification of Standard Webhooks',
    secret: WHSEC,
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    body: '{"test": 2432232314}',
    signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
  { from: 'npm svix 2.5.0', secret: WHSEC, id: 'msg_2', body: '{"zwölf":"Boxkämpfer 🥊"}', signature: 'v1,KIZIinxaq+CeSqoF5aL4OENP1ucmeW4H4DA+2jvymUQ=' },
  { from: 'npm svix 2.5.0, an empty body', secret: WHSEC, id: 'msg_3', body: '', signature: 'v1,6yDQqu+2pA32O892FKhiHHXnewrfBq0/zbyDdAjjCuY=' },
  {
    from: "the tests of Svix's server, v1a",
    secret: WHSK,
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    body: '{"test": 2432232314}',
    signature: 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
  },
];

const anySeed = drawnSeed();
test(`HMAC of two hashes is that of node:crypto, for keys and texts of any length (seed ${anySeed})`, () => {
  const text = fc.string({ unit: 'binary', maxLength: 100 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), text, fc.oneof(text, fc.uint8Array({ maxLength: 200 })), (key, head, body) => {
      const own = hmac(
        keyFor('text', Buffer.from(key).toString('hex'), () => key),
        head,
        body,
      );
      expect(own.toString('hex')).toBe(createHmac('sha256', key).update(head).update(body).digest('hex'));
    }),
    { seed: anySeed, numRuns: drawnRuns(500) },
  );
});

describe('Standard Webhooks', () => {
  test.each(vectors)('signs and verifies as $from', ({ secret, id, body, signature }) => {
    const headers = signMessage([secret], { id, timestampSeconds: AT, body });
    expect(headers['webhook-signature']).toBe(signature);
    const known = secret === WHSK ? WHPK : secret;
    expect(verifyMessage({ secrets: [known], headers, body, now }).id).toBe(id);
    expect(codeOf(() => verifyMessage({ secrets: [known], headers, body: `${body} `, now }))).toBe('webhooks_signature_invalid');
  });

  test('a seed alone is the same key as seed and public half, and the public half is derived from it', () => {
    expect([publicHalf(SEED), publicHalf(WHSK)]).toEqual([WHPK, WHPK]);
    const message = { id: 'm', timestampSeconds: AT, body: Uint8Array.of(0xff, 0, 0xfe) };
    expect(signMessage([SEED], message)).toEqual(signMessage([WHSK], message));
  });

  test('one header carries both versions and both keys of a rotation; each receiver finds its own', () => {
    const other = `whsk_${randomBytes(32).toString('base64')}`;
    const headers = signAs('both', [WHSEC, SEED, other], { id: 'm', type: 't', timestampSeconds: AT, body: 'x' });
    expect(headers['webhook-signature']?.split(' ').map((one) => one.split(',')[0])).toEqual(['v1', 'v1a', 'v1a']);
    for (const known of [WHSEC, WHPK, publicHalf(other), SEED]) expect(verifyMessage({ secrets: [known], headers, body: 'x', now }).id).toBe('m');
    const stranger = publicHalf(`whsk_${randomBytes(32).toString('base64')}`);
    expect(codeOf(() => verifyMessage({ secrets: [stranger], headers, body: 'x', now }))).toBe('webhooks_signature_invalid');
    const onlyV1 = { ...headers, 'webhook-signature': headers['webhook-signature']?.split(' ')[0] };
    expect(codeOf(() => verifyMessage({ secrets: [WHPK], headers: onlyV1, body: 'x', now }))).toBe('webhooks_signature_invalid');
  });

  test('a key of the published set verifies, and its kid is the thumbprint of RFC 7638', () => {
    const jwk = jwkOf(WHPK);
    expect(jwk).toMatchObject({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' });
    expect(jwk.kid).toBe(
      createHash('sha256')
        .update(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x }))
        .digest('base64url'),
    );
    expect(keysOfJwks({ keys: [{ kty: 'RSA', n: 'x' }, jwk as never, { kty: 'OKP', crv: 'Ed25519', x: 'AA' }] })).toEqual([WHPK]);
    // The example of RFC 8037, appendix A.3.
    const rfc = `whpk_${Buffer.from('11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo', 'base64url').toString('base64')}`;
    expect(jwkOf(rfc).kid).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  test('keys made by node:crypto and ours are the same keys', () => {
    const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
    expect(publicHalf(`whsk_${Buffer.from(d, 'base64url').toString('base64')}`)).toBe(`whpk_${Buffer.from(x, 'base64url').toString('base64')}`);
  });

  test.each([
    'whsk_',
    'whsk_AAAA',
    `whsk_${Buffer.alloc(33).toString('base64')}`,
    `whsk_${Buffer.concat([Buffer.from(SEED.slice(5), 'base64'), Buffer.alloc(32)]).toString('base64')}`,
    'whsk_not base64',
  ])('%s is no private key', (key) => expect(codeOf(() => signMessage([key], { id: 'm', timestampSeconds: AT, body: '' }))).toBe('webhooks_secret_invalid'));
  test.each(['whpk_', 'whpk_AAAA', `whpk_${Buffer.alloc(31).toString('base64')}`])('%s is no public key', (key) =>
    expect(codeOf(() => verifyMessage({ secrets: [key], headers: signMessage([SEED], { id: 'm', timestampSeconds: AT, body: '' }), body: '', now }))).toBe(
      'webhooks_secret_invalid',
    ),
  );
});

const slackBody =
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c';

describe('inbound verification', () => {
  test('takes what npm stripe 23.1.0 signed, under any of the secrets that count', () => {
    const message: InboundMessage = {
      profile: 'stripe',
      secrets: ['whsec_the next one', 'whsec_test_secret'],
      headers: { 'Stripe-Signature': `t=${AT},v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff,v0=ignored` },
      body: '{"id":"evt_test_webhook","object":"event"}',
      now,
    };
    expect(verifyInbound(message)).toEqual({ id: 'evt_test_webhook', signedAt: now });
    expect(codeOf(() => verifyInbound({ ...message, secrets: ['whsec_the next one'] }))).toBe('webhooks_signature_invalid');
    expect(codeOf(() => verifyInbound({ ...message, now: new Date((AT + 301) * 1000) }))).toBe('webhooks_timestamp_out_of_tolerance');
    expect(codeOf(() => verifyInbound({ ...message, headers: { 'stripe-signature': 'v1=aa' } }))).toBe('webhooks_headers_missing');
  });

  test("takes the example of GitHub's documentation", () => {
    const message: InboundMessage = {
      profile: 'github',
      secrets: ["It's a Secret to Everybody"],
      headers: {
        'X-Hub-Signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
        'X-GitHub-Delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      },
      body: Buffer.from('Hello, World!'),
      now,
    };
    expect(verifyInbound(message)).toEqual({ id: '72d3162e-cc78-11e3-81ab-4c9367dc0958', signedAt: undefined });
    expect(codeOf(() => verifyInbound({ ...message, body: 'Hello, World' }))).toBe('webhooks_signature_invalid');
    expect(codeOf(() => verifyInbound({ ...message, headers: { ...message.headers, 'X-Hub-Signature-256': 'sha1=757107ea' } }))).toBe(
      'webhooks_signature_invalid',
    );
  });

  test("takes the example of Slack's documentation, and its hash is the id where it names none", () => {
    const message: InboundMessage = {
      profile: 'slack',
      secrets: ['8f742231b10e8888abcd99yyyzzz85a5'],
      headers: {
        'x-slack-request-timestamp': '1531420618',
        'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
      },
      body: slackBody,
      now: new Date(1_531_420_618_000),
    };
    const { id, signedAt } = verifyInbound(message);
    expect(signedAt).toEqual(new Date(1_531_420_618_000));
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(codeOf(() => verifyInbound({ ...message, now }))).toBe('webhooks_timestamp_out_of_tolerance');
    expect(codeOf(() => verifyInbound({ ...message, body: `${slackBody}&x=1` }))).toBe('webhooks_signature_invalid');
  });

  const seed = drawnSeed();
  test(`takes what is signed in each form, byte for byte, and nothing that was changed (seed ${seed})`, () => {
    const form = fc.constantFrom<[Signing, InboundMessage['profile'], string, string]>(
      ['v1', 'standard', WHSEC, WHSEC],
      ['v1a', 'standard', SEED, WHPK],
      ['stripe', 'stripe', 'any text of 16 and more', 'any text of 16 and more'],
      ['github', 'github', WHSEC, WHSEC],
      ['slack', 'slack', WHSEC, WHSEC],
    );
    fc.assert(
      fc.property(form, fc.uint8Array({ maxLength: 200 }), fc.nat(), ([signing, profile, secret, known], body, at) => {
        const headers = signAs(signing, [secret], { id: 'msg_1', type: 'order.created', timestampSeconds: AT, body });
        const message = { profile, secrets: [known], headers, body, now };
        expect(verifyInbound(message).id).toMatch(profile === 'standard' || profile === 'github' ? /^msg_1$/ : /^sha256:/);
        const changed = Uint8Array.from([...body, 0]);
        changed[at % changed.length] = ((changed[at % changed.length] ?? 0) + 1) % 256;
        expect(codeOf(() => verifyInbound({ ...message, body: changed }))).toBe('webhooks_signature_invalid');
      }),
      { seed, numRuns: drawnRuns(200) },
    );
  });

  test('a signature of the wrong length, in the wrong alphabet or repeated is refused as any other', () => {
    const message = (signature: string | string[]): InboundMessage => ({
      profile: 'generic',
      options: { header: 'X-Signature' },
      secrets: ['some secret'],
      headers: { 'x-signature': signature },
      body: 'x',
      now,
    });
    for (const wrong of ['', 'zz', 'ab', 'a'.repeat(64), 'a'.repeat(65)])
      expect(
        codeOf(() => verifyInbound(message(wrong))),
        wrong,
      ).toBe(wrong === '' ? 'webhooks_headers_missing' : 'webhooks_signature_invalid');
    expect(codeOf(() => verifyInbound(message(['a', 'b'])))).toBe('webhooks_headers_missing');
    expect(codeOf(() => verifyInbound({ ...message('aa'), options: {} }))).toBe('webhooks_source_invalid');
  });

  test('during a rotation the forms that take one signature have that of the old secret, which the receiver still knows', () => {
    const message = { id: 'm', type: 't', timestampSeconds: AT, body: '{}' };
    for (const profile of ['github', 'slack'] as const) {
      const headers = signAs(profile, ['new secret', 'old secret'], message);
      expect(verifyInbound({ profile, secrets: ['old secret'], headers, body: '{}', now }).id).toBeTruthy();
    }
    const both = signAs('stripe', ['new secret', 'old secret'], message);
    for (const secret of ['new secret', 'old secret'])
      expect(verifyInbound({ profile: 'stripe', secrets: [secret], headers: both, body: '{}', now }).id).toBeTruthy();
    for (const signing of ['v1', 'github'] as const) expect(codeOf(() => signAs(signing, [], message))).toBe('webhooks_secret_invalid');
  });

  test.each([
    ['github', { 'x-github-event': 'issues' }, { action: 'opened' }, 'src.issues.opened'],
    ['github', { 'x-github-event': 'push' }, {}, 'src.push'],
    ['stripe', {}, { type: 'invoice.paid' }, 'src.invoice.paid'],
    ['slack', {}, { type: 'event_callback', event: { type: 'app_mention' } }, 'src.app_mention'],
    ['standard', {}, { type: 'a b..c/ü' }, 'src.a_b.c__'],
    ['generic', {}, {}, 'src.received'],
    ['generic', {}, { type: '...' }, 'src.received'],
    ['generic', {}, { type: 'x'.repeat(300) }, `src.${'x'.repeat(196)}`],
  ] as const)('%s %j %j is published as %s', (profile, headers, payload, type) => expect(inboundType('src', profile, headers, payload)).toBe(type));
});
