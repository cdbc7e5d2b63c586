/**
 * Standard Webhooks 1.0.0 with symmetric signatures (v1): HMAC-SHA256 over `id.timestamp.body`, byte for byte, so that bodies
 * which are not UTF-8 verify too. https://github.com/standard-webhooks/standard-webhooks
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fail } from './errors.ts';

const PREFIX = 'whsec_';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const TOLERANCE_SECONDS = 300;
/** More signatures than a rotation ever leaves; bounds what a forged header can make us compute. */
const MOST_SIGNATURES = 16;

export interface Message {
  /** Stable over all attempts: the receiver's idempotency key. No dots. */
  id: string;
  /** Of this attempt, in whole seconds since 1970. */
  timestampSeconds: number;
  body: Uint8Array | string;
}

export type WebhookHeaders = { 'webhook-id': string; 'webhook-timestamp': string; 'webhook-signature': string };

/** Key bytes of `whsec_...` (the prefix may be missing). Errors: `webhooks_secret_invalid`. */
function keyOf(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  const key = Buffer.from(text, 'base64');
  if (!BASE64.test(text) || key.length < 24 || key.length > 64) throw fail('secret_invalid');
  return key;
}

const digest = (secret: string, message: Message): Buffer =>
  createHmac('sha256', keyOf(secret)).update(`${message.id}.${message.timestampSeconds}.`).update(message.body).digest();

/**
 * The three headers of one attempt, signed with every secret that is valid now, newest first: during a rotation the receiver
 * may know either. Errors: `webhooks_secret_invalid`, `webhooks_message_invalid`.
 */
export function signMessage(secrets: readonly string[], message: Message): WebhookHeaders {
  if (!/^[!-\-/-~]{1,200}$/.test(message.id) || !Number.isSafeInteger(message.timestampSeconds) || message.timestampSeconds < 0) throw fail('message_invalid');
  if (secrets.length === 0) throw fail('secret_invalid', { message: 'There is no secret to sign with' });
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': secrets.map((secret) => `v1,${digest(secret, message).toString('base64')}`).join(' '),
  };
}

export interface Verification {
  /** Secrets that are accepted: one, or the old and the new during a rotation. */
  secrets: readonly string[];
  /** As they came; names in any case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The raw body, before any parser. */
  body: Uint8Array | string;
  now: Date;
  /** Default 300, to either side. */
  toleranceSeconds?: number;
}

const one = (headers: Verification['headers'], name: string): string => {
  const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof found !== 'string' || found === '') throw fail('headers_missing', { message: `Header ${name} is missing or repeated` });
  return found;
};

/**
 * Checks a message that was received and answers with its id (to recognise a repetition) and time. Compares in constant time.
 * Errors: `webhooks_headers_missing`, `webhooks_timestamp_out_of_tolerance`, `webhooks_signature_invalid`, `webhooks_secret_invalid`.
 */
export function verifyMessage(input: Verification): { id: string; signedAt: Date } {
  const id = one(input.headers, 'webhook-id');
  const timestamp = one(input.headers, 'webhook-timestamp');
  const signatures = one(input.headers, 'webhook-signature').split(' ');
  if (!/^\d{1,12}$/.test(timestamp) || id.includes('.'))
    throw fail('headers_missing', { message: 'webhook-timestamp is not a number of seconds, or webhook-id holds a dot' });
  const timestampSeconds = Number(timestamp);
  const age = Math.floor(input.now.getTime() / 1000) - timestampSeconds;
  if (Math.abs(age) > (input.toleranceSeconds ?? TOLERANCE_SECONDS)) throw fail('timestamp_out_of_tolerance');
  const given = signatures.slice(0, MOST_SIGNATURES).flatMap((signature) => (signature.startsWith('v1,') ? [Buffer.from(signature.slice(3), 'base64')] : []));
  const expected = input.secrets.map((secret) => digest(secret, { id, timestampSeconds, body: input.body }));
  const matches = expected.some((own) => given.some((theirs) => theirs.length === own.length && timingSafeEqual(theirs, own)));
  if (!matches) throw fail('signature_invalid');
  return { id, signedAt: new Date(timestampSeconds * 1000) };
}
