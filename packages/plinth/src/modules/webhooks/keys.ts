/**
 * Ed25519 keys in the text forms of Standard Webhooks, `whsk_` (private) and `whpk_` (public), and as JWK. A private key is 32 bytes of
 * seed, as we keep it, or seed and public half together, as libsodium and Svix write it.
 */
import type { KeyObject } from 'node:crypto';
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { fail } from './errors.ts';

export const PRIVATE = 'whsk_';
export const PUBLIC = 'whpk_';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** What stands before the 32 bytes of a key in PKCS #8 (private) and SPKI (public), RFC 8410. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** Reading a key costs as much as signing with it. */
const kept = new LRUCache<string, KeyObject>({ max: 1000 });

/** Bytes of base64 that is written as it should be; undefined for any other text. */
export const base64Bytes = (text: string): Buffer | undefined => (BASE64.test(text) ? Buffer.from(text, 'base64') : undefined);

function read(text: string, make: () => KeyObject): KeyObject {
  const known = kept.get(text);
  if (known) return known;
  const key = make();
  kept.set(text, key);
  return key;
}

/** Errors: `webhooks_secret_invalid`. */
export const privateKeyOf = (text: string): KeyObject =>
  read(text, () => {
    const bytes = base64Bytes(text.slice(PRIVATE.length));
    if (!text.startsWith(PRIVATE) || !bytes || (bytes.length !== 32 && bytes.length !== 64))
      throw fail('secret_invalid', { message: 'This is not whsk_ and the base64 of 32 or 64 bytes' });
    const key = createPrivateKey({ key: Buffer.concat([PKCS8, bytes.subarray(0, 32)]), format: 'der', type: 'pkcs8' });
    const half = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url');
    if (bytes.length === 64 && !half.equals(bytes.subarray(32)))
      throw fail('secret_invalid', { message: 'The two halves of the private key do not belong together' });
    return key;
  });

/** Errors: `webhooks_secret_invalid`. */
export const publicKeyOf = (text: string): KeyObject =>
  read(text, () => {
    const bytes = base64Bytes(text.slice(PUBLIC.length));
    if (!text.startsWith(PUBLIC) || bytes?.length !== 32) throw fail('secret_invalid', { message: 'This is not whpk_ and the base64 of 32 bytes' });
    return createPublicKey({ key: Buffer.concat([SPKI, bytes]), format: 'der', type: 'spki' });
  });

/** The public half, `whpk_...`, of a private key. Errors: `webhooks_secret_invalid`. */
export function publicHalf(privateKey: string): string {
  const { x = '' } = createPublicKey(privateKeyOf(privateKey)).export({ format: 'jwk' });
  return PUBLIC + Buffer.from(x, 'base64url').toString('base64');
}

/** A public key as one of a JWK set. `kid` is its thumbprint (RFC 7638). */
export interface WebhookJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  x: string;
  kid: string;
  alg: 'EdDSA';
  use: 'sig';
}

/** Errors: `webhooks_secret_invalid`. */
export function jwkOf(publicKey: string): WebhookJwk {
  const { x = '' } = publicKeyOf(publicKey).export({ format: 'jwk' });
  const kid = createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
  return { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' };
}

/** A key of a JWK set, of any kind. */
export type AnyJwk = Readonly<Record<string, unknown>> | { kty?: string | undefined; crv?: string | undefined; x?: string | undefined };

/** The keys of a JWK set that `verifyMessage` takes as secrets; keys of other kinds are passed over. */
export const keysOfJwks = (set: { keys: readonly AnyJwk[] }): string[] =>
  set.keys.flatMap((key) => {
    const bytes = key.kty === 'OKP' && key.crv === 'Ed25519' && typeof key.x === 'string' ? Buffer.from(key.x, 'base64url') : undefined;
    return bytes?.length === 32 ? [PUBLIC + bytes.toString('base64')] : [];
  });
