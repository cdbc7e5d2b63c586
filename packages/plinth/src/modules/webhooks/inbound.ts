/** Verifying webhooks that come in, in the forms of those who send them. */
import { createHash } from 'node:crypto';
import { parseExactJson } from '#kernel/exact-json.ts';
import { fail } from './errors.ts';
import { slackDigest, stripeDigest, textDigest } from './profiles.ts';
import type { HeaderFields, Verification } from './sign.ts';
import { anyEqual, oneHeader, timely, verifyMessage } from './sign.ts';

export type InboundProfile = 'standard' | 'stripe' | 'github' | 'slack' | 'generic';

/** Where a provider without a form of its own puts what is needed: HMAC-SHA256 of the body under the text of the secret. */
export interface GenericOptions {
  /** Header with the signature. */
  header?: string | undefined;
  /** Default hex. */
  encoding?: 'hex' | 'base64' | undefined;
  /** Stands before the signature: `sha256=`. Default none. */
  prefix?: string | undefined;
  /** Header with the id under which a message is repeated. Default: the hash of the body is the id. */
  id_header?: string | undefined;
}

export interface InboundMessage extends Verification {
  /** Default standard. */
  profile?: InboundProfile | undefined;
  /** Of the profile generic. */
  options?: GenericOptions | undefined;
}

export interface VerifiedMessage {
  /** Under which the provider repeats the message. Where it gives none, `sha256:` and the hash of what was signed. */
  id: string;
  /** Undefined where the provider signs no time. */
  signedAt: Date | undefined;
}

const hashId = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest('hex')}`;
};

const textOf = (body: Uint8Array | string): string => (typeof body === 'string' ? body : new TextDecoder().decode(body));

/** The body as a JSON object; undefined when it is anything else. */
export function objectOf(body: Uint8Array | string): Record<string, unknown> | undefined {
  try {
    const value = parseExactJson(textOf(body));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** An id that can be kept: long ones and those with other than visible characters become their hash. */
const keepable = (id: unknown, ...otherwise: (string | Uint8Array)[]): string => {
  if (typeof id !== 'string' || id === '') return hashId(...otherwise);
  return /^[!-~]{1,200}$/.test(id) ? id : hashId(id);
};

const hexBytes = (text: string): Buffer => (/^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.alloc(0));

function requireMatch(expected: readonly Buffer[], given: readonly Buffer[]): void {
  if (!anyEqual(expected, given)) throw fail('signature_invalid');
}

function verifyStripe(input: InboundMessage): VerifiedMessage {
  const parts = oneHeader(input.headers, 'stripe-signature')
    .split(',')
    .map((part) => part.trim().split('='));
  const timestamp = parts.find(([name]) => name === 't')?.[1] ?? '';
  const seconds = timely(timestamp, input);
  const given = parts.flatMap(([name, value = '']) => (name === 'v1' ? [hexBytes(value)] : []));
  requireMatch(
    input.secrets.map((secret) => stripeDigest(secret, timestamp, input.body)),
    given,
  );
  return { id: keepable(objectOf(input.body)?.id, input.body), signedAt: new Date(seconds * 1000) };
}

function verifySlack(input: InboundMessage): VerifiedMessage {
  const timestamp = oneHeader(input.headers, 'x-slack-request-timestamp');
  const seconds = timely(timestamp, input);
  const [version, signature = ''] = oneHeader(input.headers, 'x-slack-signature').split('=');
  requireMatch(
    input.secrets.map((secret) => slackDigest(secret, timestamp, input.body)),
    version === 'v0' ? [hexBytes(signature)] : [],
  );
  return { id: keepable(objectOf(input.body)?.event_id, timestamp, input.body), signedAt: new Date(seconds * 1000) };
}

function verifyGithub(input: InboundMessage): VerifiedMessage {
  const [version, signature = ''] = oneHeader(input.headers, 'x-hub-signature-256').split('=');
  const id = oneHeader(input.headers, 'x-github-delivery');
  requireMatch(
    input.secrets.map((secret) => textDigest(secret, '', input.body)),
    version === 'sha256' ? [hexBytes(signature)] : [],
  );
  return { id: keepable(id, input.body), signedAt: undefined };
}

function verifyGeneric(input: InboundMessage): VerifiedMessage {
  const { header = '', encoding = 'hex', prefix = '', id_header: idHeader } = input.options ?? {};
  if (header === '') throw fail('source_invalid', { message: 'The profile generic needs options.header, the name of the header with the signature' });
  const text = oneHeader(input.headers, header.toLowerCase());
  const signature = text.startsWith(prefix) ? text.slice(prefix.length) : '';
  const given = encoding === 'hex' ? hexBytes(signature) : Buffer.from(signature, 'base64');
  requireMatch(
    input.secrets.map((secret) => textDigest(secret, '', input.body)),
    [given],
  );
  return { id: keepable(idHeader === undefined ? undefined : oneHeader(input.headers, idHeader.toLowerCase()), input.body), signedAt: undefined };
}

const VERIFIERS: Record<InboundProfile, (input: InboundMessage) => VerifiedMessage> = {
  standard: verifyMessage,
  stripe: verifyStripe,
  github: verifyGithub,
  slack: verifySlack,
  generic: verifyGeneric,
};

/**
 * Checks the raw bytes of a webhook that came in against every secret that counts, in constant time, and its timestamp where the provider
 * signs one. Errors: `webhooks_headers_missing`, `webhooks_timestamp_out_of_tolerance`, `webhooks_signature_invalid`, `webhooks_secret_invalid`.
 *
 * @example
 * const { id } = verifyInbound({ profile: 'github', secrets: [secret], headers: request.headers, body: rawBody, now: new Date() });
 */
export const verifyInbound = (input: InboundMessage): VerifiedMessage => VERIFIERS[input.profile ?? 'standard'](input);

/** The type under which a message is published below the name of its source. */
export function inboundType(source: string, profile: InboundProfile, headers: HeaderFields, payload: Record<string, unknown>): string {
  const inner = payload.event as Record<string, unknown> | undefined;
  const github = profile === 'github' ? [oneHeader(headers, 'x-github-event'), payload.action].filter((part) => typeof part === 'string').join('.') : undefined;
  const told = github ?? (profile === 'slack' && typeof inner?.type === 'string' ? inner.type : payload.type);
  const words = (typeof told === 'string' ? told : 'received')
    .split('.')
    .map((word) => word.replaceAll(/[^A-Za-z0-9_-]/g, '_'))
    .filter((word) => word !== '');
  return [source, ...(words.length > 0 ? words : ['received'])].join('.').slice(0, 200).replace(/\.$/, '');
}
