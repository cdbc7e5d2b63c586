import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Random bytes for secrets; a test passes its own. */
export type RandomSource = (size: number) => Uint8Array;

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_LENGTH = 32;
const CHECK_LENGTH = 6;
const SHAPE = /^plk_([a-z]{2,12})_([0-9A-Za-z]{30,64})_([0-9A-Za-z]{6})$/;

/** `count` characters of base62, each equally likely: bytes from 248 up are thrown away, because 256 is no multiple of 62. */
function base62(count: number, random: RandomSource): string {
  let text = '';
  while (text.length < count) {
    for (const byte of random(count)) if (byte < 248 && text.length < count) text += ALPHABET[byte % 62];
  }
  return text;
}

function checkOf(text: string): string {
  let rest = crc32(text);
  let check = '';
  for (let i = 0; i < CHECK_LENGTH; i++) {
    check = ALPHABET[rest % 62] + check;
    rest = Math.floor(rest / 62);
  }
  return check;
}

/**
 * A new secret, `plk_<kind>_<32 characters of base62>_<checksum>`: 190 random bits. The prefix and the CRC-32 let scanners find a
 * leaked one with next to no false alarms, and let a mistyped one be refused without asking the database.
 */
export function newSecret(kind: string, random: RandomSource = randomBytes): string {
  const body = `plk_${kind}_${base62(SECRET_LENGTH, random)}`;
  return `${body}_${checkOf(body)}`;
}

/** The kind of a secret that is well formed and whose checksum is right; undefined for any other text. */
export function secretKind(secret: string): string | undefined {
  const [, kind] = SHAPE.exec(secret) ?? [];
  return kind && secret.endsWith(checkOf(secret.slice(0, -CHECK_LENGTH - 1))) ? kind : undefined;
}

/** What is stored of a secret. High entropy needs no slow hash. */
export const secretHash = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** What may be shown of a secret: enough to recognise it, nothing to use. */
export const secretLabel = (secret: string): { prefix: string; last4: string } => ({
  prefix: secret.slice(0, secret.indexOf('_', 4) + 5),
  last4: secret.slice(-CHECK_LENGTH - 5, -CHECK_LENGTH - 1),
});

/**
 * Keys, tokens, secrets and private keys of webhooks, and what stands before the @ of a URL: of a database the password, of others all of it, which may be a token. Texts come from
 * tenants, too: no character is looked at more than a few hundred times. A token begins anywhere in a word, so words without two dots behind them are left at once.
 */
const SECRET_TEXT =
  /plk_[a-z]+_[0-9A-Za-z]+_[0-9A-Za-z]+|(?<![\w-])(?=[\w-]+\.[\w-]+\.)([\w-]*?)eyJ[\w-]+\.[\w-]+\.[\w-]*|\bwhs(?:ec|k)_[A-Za-z0-9+/=]+|(postgres(?:ql)?:\/\/[^:@/\s]+:)[^@\s]{1,500}(?=@)|((?:https?|rediss?|nats|tls|wss?):\/\/)[^@/\s]+(?=@)/g;

/** A text that is told to others than its author, without the secrets that are known by their form. */
export const withoutSecrets = (text: string): string =>
  text.replaceAll(SECRET_TEXT, (_found, before?: string, user?: string, scheme?: string) => `${before ?? user ?? scheme ?? ''}***`);
