import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

/**
 * Keys of the installation, which never reach the database: a master key, from which each tenant's key-encryption key is derived, which wraps the data
 * keys that are stored. Old master keys open what has not been wrapped anew.
 */
export interface KeyRing {
  /** Names the master key that wraps. */
  readonly current: string;
  /** 32 random bytes. */
  newKey(): Buffer;
  /** A data key as it may be stored. It opens only for the same tenant and name. */
  wrap(tenantId: string, name: string, key: Buffer): Buffer;
  /** The data key again; undefined when the ring does not hold that master key. Errors: an Error when it was changed or belongs to something else. */
  unwrap(tenantId: string, name: string, wrapped: Buffer, master: string): Buffer | undefined;
  /** A key of the tenant for one purpose, always the same, of a master key (default: the current one); undefined when the ring does not hold that. */
  derive(tenantId: string, purpose: string, master?: string): Buffer | undefined;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM: initialisation vector, text, tag. */
export function sealWith(key: Buffer, iv: Buffer, text: Buffer, context: string): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

/** What sealWith sealed. Errors: an Error when the key, the context or a byte is another. */
export function openWith(key: Buffer, sealed: Buffer, context: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, sealed.length - TAG_BYTES)), decipher.final()]);
}

/** A key of its own for one purpose. */
export const derivedKey = (key: Buffer, salt: string, purpose: string): Buffer => Buffer.from(hkdfSync('sha256', key, salt, purpose, KEY_BYTES));

function masterKey(text: string): Buffer {
  const key = Buffer.from(text, 'base64');
  if (key.length < KEY_BYTES) throw new RangeError('A master key has at least 32 random bytes, in base64: openssl rand -base64 32');
  return key;
}

/**
 * The ring of a process. `current` wraps; `old` are master keys that are being replaced. Errors: a RangeError for a key that is too short.
 *
 * @example
 * const plinth = createPlinth({ database, keys: createKeyRing({ current: process.env.PLINTH_MASTER_KEY }) });
 */
export function createKeyRing(options: { current: string; old?: readonly string[] | undefined }): KeyRing {
  const masters = [options.current, ...(options.old ?? [])].map(masterKey);
  const named = new Map(masters.map((key) => [createHash('sha256').update('plinth master key').update(key).digest('hex').slice(0, 16), key]));
  const current = named.keys().next().value ?? '';
  const tenantKey = (master: Buffer, tenantId: string): Buffer => derivedKey(master, tenantId, 'plinth key-encryption key');
  return {
    current,
    newKey: () => randomBytes(KEY_BYTES),
    wrap: (tenantId, name, key) => sealWith(tenantKey(named.get(current) ?? Buffer.alloc(0), tenantId), randomBytes(IV_BYTES), key, `${tenantId} ${name}`),
    unwrap(tenantId, name, wrapped, master) {
      const key = named.get(master);
      return key && openWith(tenantKey(key, tenantId), wrapped, `${tenantId} ${name}`);
    },
    derive(tenantId, purpose, master = current) {
      const key = named.get(master);
      return key && derivedKey(key, tenantId, purpose);
    },
  };
}
