/**
 * Standard Webhooks 1.0.0, symmetric (v1, HMAC-SHA256) and asymmetric (v1a, ed25519), over `id.timestamp.body`, byte for byte, so that
 * bodies which are not UTF-8 verify too. https://github.com/standard-webhooks/standard-webhooks
 */
import { sign as signBytes, timingSafeEqual, verify as verifyBytes } from 'node:crypto';
import { fail } from './errors.ts';
import { hmac, keyFor } from './hmac.ts';
import { base64Bytes, PRIVATE, PUBLIC, privateKeyOf, publicHalf, publicKeyOf } from './keys.ts';

const PREFIX = 'whsec_';
export const TOLERANCE_SECONDS = 300;
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
  const key = base64Bytes(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret);
  if (!key || key.length < 24 || key.length > 64) throw fail('secret_invalid');
  return key;
}

const head = (message: Message): string => `${message.id}.${message.timestampSeconds}.`;

const digest = (secret: string, message: Message): Buffer =>
  hmac(
    keyFor('base64', secret, () => keyOf(secret)),
    head(message),
    message.body,
  );

/** Ed25519 signs a message as a whole. */
const whole = (message: Message): Buffer =>
  Buffer.concat([Buffer.from(head(message)), typeof message.body === 'string' ? Buffer.from(message.body) : message.body]);

const signature = (secret: string, message: Message): string =>
  secret.startsWith(PRIVATE)
    ? `v1a,${signBytes(null, whole(message), privateKeyOf(secret)).toString('base64')}`
    : `v1,${digest(secret, message).toString('base64')}`;

/** Errors: `webhooks_message_invalid`. */
export function checkMessage(message: Message): void {
  if (!/^[!-\-/-~]{1,200}$/.test(message.id) || !Number.isSafeInteger(message.timestampSeconds) || message.timestampSeconds < 0) throw fail('message_invalid');
}

/**
 * The three headers of one attempt, signed with every secret (`whsec_`, v1) and private key (`whsk_`, v1a) that is valid now, newest first:
 * during a rotation the receiver may know either. Errors: `webhooks_secret_invalid`, `webhooks_message_invalid`.
 */
export function signMessage(secrets: readonly string[], message: Message): WebhookHeaders {
  checkMessage(message);
  if (secrets.length === 0) throw fail('secret_invalid', { message: 'There is no secret to sign with' });
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': secrets.map((secret) => signature(secret, message)).join(' '),
  };
}

export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>;

export interface Verification {
  /** What is accepted: secrets (`whsec_`) and public keys (`whpk_`), the old and the new during a rotation. */
  secrets: readonly string[];
  /** As they came; names in any case. */
  headers: HeaderFields;
  /** The raw body, before any parser. */
  body: Uint8Array | string;
  now: Date;
  /** Default 300, to either side. */
  toleranceSeconds?: number | undefined;
}

/** A header that must be there once. Errors: `webhooks_headers_missing`. */
export const oneHeader = (headers: HeaderFields, name: string): string => {
  const found = headers[name] ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof found !== 'string' || found === '') throw fail('headers_missing', { message: `Header ${name} is missing or repeated` });
  return found;
};

/** Seconds of a timestamp that is near enough. Errors: `webhooks_headers_missing`, `webhooks_timestamp_out_of_tolerance`. */
export function timely(text: string, { now, toleranceSeconds = TOLERANCE_SECONDS }: Pick<Verification, 'now' | 'toleranceSeconds'>): number {
  if (!/^\d{1,12}$/.test(text)) throw fail('headers_missing', { message: 'The timestamp of the signature is not a number of seconds' });
  const age = Math.floor(now.getTime() / 1000) - Number(text);
  if (Math.abs(age) > toleranceSeconds) throw fail('timestamp_out_of_tolerance');
  return Number(text);
}

/** True when one of the signatures is one of those that are expected. The time that it takes does not tell how near a wrong one is. */
export const anyEqual = (expected: readonly Buffer[], given: readonly Buffer[]): boolean =>
  expected.some((own) => given.slice(0, MOST_SIGNATURES).some((theirs) => theirs.length === own.length && timingSafeEqual(theirs, own)));

/**
 * Checks a message that was received and answers with its id (to recognise a repetition) and time. Compares in constant time.
 * Errors: `webhooks_headers_missing`, `webhooks_timestamp_out_of_tolerance`, `webhooks_signature_invalid`, `webhooks_secret_invalid`.
 */
export function verifyMessage(input: Verification): { id: string; signedAt: Date } {
  const id = oneHeader(input.headers, 'webhook-id');
  const timestamp = oneHeader(input.headers, 'webhook-timestamp');
  const signatures = oneHeader(input.headers, 'webhook-signature').split(' ').slice(0, MOST_SIGNATURES);
  if (id.includes('.')) throw fail('headers_missing', { message: 'webhook-id holds a dot' });
  const timestampSeconds = timely(timestamp, input);
  const message = { id, timestampSeconds, body: input.body };
  const given = (version: string): Buffer[] =>
    signatures.flatMap((one) => (one.startsWith(`${version},`) ? [Buffer.from(one.slice(version.length + 1), 'base64')] : []));
  const isKey = (secret: string): boolean => secret.startsWith(PUBLIC) || secret.startsWith(PRIVATE);
  const shared = input.secrets.filter((secret) => !isKey(secret)).map((secret) => digest(secret, message));
  const keys = input.secrets.filter(isKey).map((secret) => publicKeyOf(secret.startsWith(PRIVATE) ? publicHalf(secret) : secret));
  const byKey = keys.length > 0 ? given('v1a') : [];
  const bytes = byKey.length > 0 ? whole(message) : undefined;
  const matches =
    anyEqual(shared, given('v1')) || keys.some((key) => byKey.some((one) => bytes !== undefined && one.length === 64 && verifyBytes(null, bytes, key, one)));
  if (!matches) throw fail('signature_invalid');
  return { id, signedAt: new Date(timestampSeconds * 1000) };
}
