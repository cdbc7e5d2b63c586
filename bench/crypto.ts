import { randomBytes } from 'node:crypto';
import { Webhook as Standard } from 'standardwebhooks';
import { signMessage, verifyMessage } from '../packages/plinth/src/index.ts';
import { publicHalf } from '../packages/plinth/src/modules/webhooks/keys.ts';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf } from './harness.ts';
import { peerPackage } from './peers/queue.ts';

/** Both npm packages offer the same: v1, for bodies that are text. */
interface Peer {
  sign(id: string, at: Date, body: string): string;
  verify(body: string, headers: Record<string, string>): unknown;
}
type PeerClass = new (secret: string) => Peer;

const secret = `whsec_${randomBytes(32).toString('base64')}`;
const key = `whsk_${randomBytes(32).toString('base64')}`;
const publicKey = publicHalf(key);
const bodyOf = (bytes: number): string => JSON.stringify({ type: 'order.created', timestamp: '2026-11-21T12:00:00Z', data: { note: 'x'.repeat(bytes) } });

/** Signatures of each side verify on the other, for texts of many lengths and scripts. Returns how many were compared. */
function agreement(peers: Record<string, Peer>): number {
  let compared = 0;
  const texts = [
    '',
    '{}',
    '{"a":"Boxkämpfer \u{1F94A}"}',
    ...Array.from({ length: 500 }, (_, n) => JSON.stringify({ n, noise: randomBytes(n).toString('latin1') })),
  ];
  for (const [name, peer] of Object.entries(peers)) {
    for (const [n, body] of texts.entries()) {
      const now = new Date();
      const timestampSeconds = Math.floor(now.getTime() / 1000);
      const id = `msg_${n}`;
      const ours = signMessage([secret], { id, timestampSeconds, body });
      const theirs = peer.sign(id, now, body);
      if (theirs !== ours['webhook-signature']) throw new Error(`${name} signs ${JSON.stringify(body)} in another way`);
      verifyMessage({ secrets: [secret], headers: { ...ours, 'webhook-signature': theirs }, body, now });
      // Their verify parses the body as JSON, which an empty one is not.
      if (body !== '') peer.verify(body, ours);
      compared++;
    }
  }
  return compared;
}

/** Calls per second of a synchronous function. */
function rate(durationMs: number, once: () => unknown): number {
  const started = performance.now();
  let calls = 0;
  while (performance.now() - started < durationMs) {
    for (let n = 0; n < 50; n++) once();
    calls += 50;
  }
  return (calls / (performance.now() - started)) * 1000;
}

export async function run({ rounds, quick }: BenchContext): Promise<Report> {
  const { Webhook: Svix } = await peerPackage<{ Webhook: PeerClass }>('svix');
  const peers: Record<string, Peer> = { standardwebhooks: new (Standard as unknown as PeerClass)(secret), svix: new Svix(secret) };
  const compared = agreement(peers);
  const ms = quick ? 100 : 500;
  const body = bodyOf(1024);
  const now = new Date();
  const message = { id: 'msg_2b3c', timestampSeconds: Math.floor(now.getTime() / 1000), body };
  const byHmac = signMessage([secret], message);
  const byKey = signMessage([key], message);
  const variants: Record<string, () => Promise<number>> = {
    'sign v1, plinth': async () => rate(ms, () => signMessage([secret], message)),
    'sign v1a, plinth': async () => rate(ms, () => signMessage([key], message)),
    'verify v1, plinth': async () => rate(ms, () => JSON.parse(body) && verifyMessage({ secrets: [secret], headers: byHmac, body, now: new Date() })),
    'verify v1a, plinth': async () => rate(ms, () => JSON.parse(body) && verifyMessage({ secrets: [publicKey], headers: byKey, body, now: new Date() })),
  };
  for (const [name, peer] of Object.entries(peers)) {
    variants[`sign v1, ${name}`] = async () => rate(ms, () => peer.sign(message.id, now, body));
    variants[`verify v1, ${name}`] = async () => rate(ms, () => peer.verify(body, byHmac));
  }
  const results = await interleave(rounds, variants);
  return {
    name: 'crypto',
    title: 'Signing and verifying webhooks of 1 KiB, one thread',
    settings: [
      `${compared} messages signed alike by all and verified both ways`,
      'verifying includes parsing the body, as the peers always do; neither peer knows v1a',
    ],
    rows: rowsOf(results, '/s'),
    bars: Object.keys(peers).flatMap((name) => [
      { what: `signing v1: plinth over ${name}`, value: ratio(results, 'sign v1, plinth', `sign v1, ${name}`), atLeast: 1 },
      { what: `verifying v1: plinth over ${name}`, value: ratio(results, 'verify v1, plinth', `verify v1, ${name}`), atLeast: 1 },
    ]),
  };
}
