/**
 * The forms in which webhooks are signed. Besides Standard Webhooks there are those of three providers, for receivers that were written
 * for them; the key is then the text of the secret, with its prefix, as Stripe has it.
 */
import { fail } from './errors.ts';
import { hmac, keyFor } from './hmac.ts';
import type { Message } from './sign.ts';
import { checkMessage, signMessage } from './sign.ts';

/** How a subscription is signed. */
export type Signing = 'v1' | 'v1a' | 'both' | 'stripe' | 'github' | 'slack';

/** HMAC-SHA256 under the text of a secret. */
export const textDigest = (secret: string, head: string, body: Uint8Array | string): Buffer =>
  hmac(
    keyFor('text', secret, () => Buffer.from(secret)),
    head,
    body,
  );

/** What Stripe signs is `timestamp.body`, what Slack signs `v0:timestamp:body`, what GitHub signs the body alone. */
export const stripeDigest = (secret: string, timestamp: string, body: Uint8Array | string): Buffer => textDigest(secret, `${timestamp}.`, body);
export const slackDigest = (secret: string, timestamp: string, body: Uint8Array | string): Buffer => textDigest(secret, `v0:${timestamp}:`, body);

export interface SignedMessage extends Message {
  /** Type of the event; the form of GitHub has it in a header. */
  type: string;
}

/**
 * The headers of one attempt. Every form has webhook-id and webhook-timestamp as well, so that every receiver can recognise a repetition.
 * GitHub's and Slack's headers take one signature: while a rotation's overlap lasts, that is of the secret before it, so that the receiver has
 * that long to learn the new one. Errors: `webhooks_secret_invalid`, `webhooks_message_invalid`.
 */
export function signAs(signing: Signing, secrets: readonly string[], message: SignedMessage): Record<string, string> {
  if (signing === 'v1' || signing === 'v1a' || signing === 'both') {
    // A secret of another form may be left from before the subscription changed its signing.
    const fitting = secrets.filter((secret) => secret.startsWith('whsec_') || secret.startsWith('whsk_'));
    return signMessage(fitting, message);
  }
  checkMessage(message);
  const oldest = secrets.at(-1);
  if (oldest === undefined) throw fail('secret_invalid', { message: 'There is no secret to sign with' });
  const timestamp = String(message.timestampSeconds);
  const named = { 'webhook-id': message.id, 'webhook-timestamp': timestamp };
  if (signing === 'stripe') {
    const signatures = secrets.map((secret) => `v1=${stripeDigest(secret, timestamp, message.body).toString('hex')}`);
    return { ...named, 'stripe-signature': [`t=${timestamp}`, ...signatures].join(',') };
  }
  if (signing === 'slack')
    return { ...named, 'x-slack-request-timestamp': timestamp, 'x-slack-signature': `v0=${slackDigest(oldest, timestamp, message.body).toString('hex')}` };
  return {
    ...named,
    'x-github-event': message.type,
    'x-github-delivery': message.id,
    'x-hub-signature-256': `sha256=${textDigest(oldest, '', message.body).toString('hex')}`,
  };
}
