import { createHash, createHmac } from 'node:crypto';
import type { Queryable } from '#kernel/database.ts';
import { exactDigits, parseExactJson } from '#kernel/exact-json.ts';
import type { KeyRing } from '#kernel/keys.ts';
import { derivedKey, openWith, sealWith } from '#kernel/keys.ts';
import { withinTime } from './limited.ts';
import type { PersonalField } from './personal-schema.ts';
import { placesOf, valueAt } from './personal-schema.ts';
import { fail } from './row.ts';

type Json = Record<string, unknown>;

/** A transaction, as far as keys of subjects need it. */
export type KeyedTransaction = Queryable & { readonly keys: KeyRing | undefined };

/** What readers get for a personal field whose subject was erased. */
export const SHREDDED = { $shredded: true } as const;

/** How a personal field is stored: `{"$encrypted": "1.<id of the subject's key>.<base64url>"}`. */
const FORM = /^1\.([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.([A-Za-z0-9_-]+)$/;

interface SubjectKey {
  id: string;
  tenant_id: string;
  wrapped: Buffer | null;
  master: string | null;
}

const subjectHash = (tenantId: string, subject: string): Buffer => createHash('sha256').update(`${tenantId}:${subject}`).digest();

const contextOf = (tenantId: string, keyId: string): string => `${tenantId} ${keyId}`;

/** Two keys out of one, so that what is authenticated and what is encrypted have nothing in common. Derived once for all fields of a subject: it takes as long as the rest. */
interface FieldKeys {
  field: Buffer;
  vector: Buffer;
}
const fieldKeys = (key: Buffer, keyId: string): FieldKeys => ({
  field: derivedKey(key, keyId, 'plinth personal field'),
  vector: derivedKey(key, keyId, 'plinth personal field: vector'),
});

/**
 * The same value of the same subject gives the same text, because an idempotency key stands for the content of its events: the initialisation
 * vector is a code of the text under a key of its own (as in RFC 5297), so it is never used for two texts.
 */
function encrypted({ field, vector }: FieldKeys, tenantId: string, keyId: string, value: unknown): string {
  const text = Buffer.from(JSON.stringify(value));
  const iv = createHmac('sha256', vector).update(text).digest().subarray(0, 12);
  return `1.${keyId}.${sealWith(field, iv, text, contextOf(tenantId, keyId)).toString('base64url')}`;
}

const opened = ({ field }: FieldKeys, tenantId: string, keyId: string, sealed: string): string =>
  openWith(field, Buffer.from(sealed, 'base64url'), contextOf(tenantId, keyId)).toString('utf8');

function unwrapped(keys: KeyRing, row: SubjectKey): FieldKeys {
  const key = keys.unwrap(row.tenant_id, row.id, row.wrapped ?? Buffer.alloc(0), row.master ?? '');
  if (!key)
    throw fail('key_missing', {
      message: `Personal fields are encrypted under the master key ${row.master}, which this process does not have`,
      detail: { master_key: row.master },
    });
  return fieldKeys(key, row.id);
}

/** Keys of subjects by subject, made where there are none. A subject without one was erased. In one order, so that two writers wait instead of deadlocking. */
async function keysFor(
  tx: KeyedTransaction,
  keys: KeyRing,
  newId: () => string,
  tenantId: string,
  subjects: readonly string[],
): Promise<Map<string, SubjectKey>> {
  const wanted = [...new Set(subjects)].map((subject) => ({ subject, hash: subjectHash(tenantId, subject) })).sort((a, b) => a.hash.compare(b.hash));
  const read = (hashes: readonly Buffer[]): Promise<(SubjectKey & { subject_hash: Buffer })[]> =>
    tx.query('select id, tenant_id, wrapped, master, subject_hash from plinth_events.subject_keys where tenant_id = $1 and subject_hash = any ($2::bytea[])', [
      tenantId,
      hashes,
    ]);
  let rows = await read(wanted.map(({ hash }) => hash));
  const missing = wanted.filter(({ hash }) => !rows.some((row) => row.subject_hash.equals(hash)));
  if (missing.length > 0) {
    const made = missing.map(({ hash }) => {
      const id = newId();
      return { id, hash, wrapped: keys.wrap(tenantId, id, keys.newKey()) };
    });
    await tx.query(
      `insert into plinth_events.subject_keys (tenant_id, id, subject_hash, wrapped, master)
       select $1, k.id, k.hash, k.wrapped, $5 from unnest($2::uuid[], $3::bytea[], $4::bytea[]) with ordinality as k (id, hash, wrapped, nth) order by k.nth
       on conflict (tenant_id, subject_hash) do nothing`,
      [tenantId, made.map(({ id }) => id), made.map(({ hash }) => hash), made.map(({ wrapped }) => wrapped), keys.current],
    );
    rows = await read(wanted.map(({ hash }) => hash));
  }
  return new Map(wanted.flatMap(({ subject, hash }) => rows.filter((row) => row.subject_hash.equals(hash)).map((row) => [subject, row] as const)));
}

export interface Unsealed {
  /** Of the effect, for errors. */
  label: string;
  fields: readonly PersonalField[];
  /** Its personal fields are replaced. */
  payload: Json;
  /** Of the payload as text. */
  characters: number;
}

interface PersonalPlace {
  holder: Json;
  key: string;
  subject: string;
}

/** The id that a pointer leads to; undefined: nobody's. */
function subjectAt(payload: Json, pointer: string): string | undefined {
  const named = valueAt(payload, pointer);
  const subject = exactDigits(named) ?? named;
  return (typeof subject === 'string' && subject !== '') || typeof subject === 'number' ? String(subject) : undefined;
}

/** Every object in a value, itself included. */
function objectsIn(node: unknown, found: Set<unknown>): Set<unknown> {
  if (typeof node !== 'object' || node === null) return found;
  found.add(node);
  for (const part of Object.values(node)) objectsIn(part, found);
  return found;
}

/**
 * What is to be encrypted, each place once: versions of a type may mark the same one, of which the first to name somebody says whose it is, or a part of
 * what another marks as a whole. Error events_subject_missing.
 */
function personalPlaces({ label, fields, payload }: Unsealed): PersonalPlace[] {
  const marked = new Map<Json, Map<string, { subject: string | undefined; pointer: string }>>();
  for (const { path, subject: pointer } of fields)
    for (const { holder, key } of placesOf(payload, path)) {
      // Null says that there is nothing, and hides nothing.
      if (holder[key] === null || holder[key] === undefined) continue;
      const keys = marked.get(holder) ?? new Map();
      if (keys.get(key)?.subject === undefined) keys.set(key, { subject: subjectAt(payload, pointer), pointer });
      marked.set(holder, keys);
    }
  const wholes = new Set<unknown>();
  for (const [holder, keys] of marked) for (const key of keys.keys()) objectsIn(holder[key], wholes);
  return [...marked].flatMap(([holder, keys]) =>
    wholes.has(holder)
      ? []
      : [...keys].map(([key, { subject, pointer }]) => {
          if (subject === undefined)
            throw fail('subject_missing', { message: `${label}: ${pointer} names nobody whose the personal fields are`, detail: { effect: label, pointer } });
          return { holder, key, subject };
        }),
  );
}

/** Looks for the fields of as many types in as many characters take some 100 ms at most. */
const UNLIMITED = 10_000_000;
const LONGEST_SEARCH_MS = 1_000;

function placesIn(unsealed: readonly Unsealed[]): PersonalPlace[] {
  const looks = unsealed.reduce((sum, { fields, characters }) => sum + fields.length * characters, 0);
  const found = () => unsealed.flatMap(personalPlaces);
  return looks <= UNLIMITED
    ? found()
    : withinTime(LONGEST_SEARCH_MS, found, () =>
        fail('payload_rejected', {
          message: `Looking for the personal fields of the payloads takes longer than ${LONGEST_SEARCH_MS} ms`,
          wayOut: 'Publish smaller payloads or fewer at a time, or mark an object as a whole instead of its parts.',
        }),
      );
}

/** Fields are encrypted and decrypted so many at a time, some 10 ms; between them the process does what else there is. */
const AT_A_TIME = 250;
const otherWork = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/**
 * Encrypts the personal fields of payloads under the keys of their subjects; those of a subject that was erased become the tombstone. Errors:
 * events_key_missing, events_subject_missing.
 */
export async function seal(tx: KeyedTransaction, newId: () => string, tenantId: string, unsealed: readonly Unsealed[]): Promise<void> {
  const places = placesIn(unsealed);
  if (places.length === 0) return;
  const { keys } = tx;
  if (!keys) throw fail('key_missing', { message: `${unsealed[0]?.label}: this process has no master key to encrypt personal fields with` });
  const rows = await keysFor(
    tx,
    keys,
    newId,
    tenantId,
    places.map(({ subject }) => subject),
  );
  const plain = new Map<string, FieldKeys>();
  for (const [nth, { holder, key, subject }] of places.entries()) {
    if (nth % AT_A_TIME === AT_A_TIME - 1) await otherWork();
    const row = rows.get(subject);
    if (!row?.wrapped) holder[key] = SHREDDED;
    else {
      const own = plain.get(row.id) ?? unwrapped(keys, row);
      plain.set(row.id, own);
      holder[key] = { $encrypted: encrypted(own, tenantId, row.id, holder[key]) };
    }
  }
}

const sealedText = (node: unknown): RegExpExecArray | null => {
  if (typeof node !== 'object' || node === null || !('$encrypted' in node)) return null;
  return typeof node.$encrypted === 'string' && Object.keys(node).length === 1 ? FORM.exec(node.$encrypted) : null;
};

/** Whether some part of a value is encrypted. */
export const isSealed = (node: unknown): boolean =>
  typeof node === 'object' && node !== null && (sealedText(node) !== null || Object.values(node).some(isSealed));

function keyIdsIn(node: unknown, found: Set<string>): Set<string> {
  if (typeof node !== 'object' || node === null) return found;
  const id = sealedText(node)?.[1];
  if (id) found.add(id);
  else for (const part of Object.values(node)) keyIdsIn(part, found);
  return found;
}

/** A value of one tenant, with its personal fields as they are stored. */
export interface Sealed<Value> {
  tenantId: string;
  value: Value;
}

export interface RevealOptions {
  /** Nothing is decrypted. */
  closed?: boolean | undefined;
  /** What is decrypted is read by parseExactJson, to be passed on. */
  exact?: boolean | undefined;
}

/**
 * Values with their personal fields readable, and the tombstone `{"$shredded": true}` for those whose subject was erased. `closed: true`, or no master key
 * in the process: only the tombstone, what can be read stays as it is stored, `{"$encrypted": ...}`. Errors: events_key_missing when
 * it is encrypted under a master key that the process does not have.
 */
export async function reveal<Value>(tx: KeyedTransaction, sealed: readonly Sealed<Value>[], options: RevealOptions = {}): Promise<Value[]> {
  const keys = options.closed ? undefined : tx.keys;
  const parse = options.exact ? parseExactJson : (text: string): unknown => JSON.parse(text);
  const ids = new Set<string>();
  for (const { value } of sealed) keyIdsIn(value, ids);
  if (ids.size === 0) return sealed.map(({ value }) => value);
  const tenants = [...new Set(sealed.map(({ tenantId }) => tenantId))];
  const rows = await tx.query<SubjectKey>(
    'select id, tenant_id, wrapped, master from plinth_events.subject_keys where tenant_id = any ($1::uuid[]) and id = any ($2::uuid[])',
    [tenants, [...ids]],
  );
  const byId = new Map(rows.map((row) => [`${row.tenant_id} ${row.id}`, row]));
  const plain = new Map<string, FieldKeys>();
  let decrypted = 0;
  const shown = (tenantId: string, node: unknown): unknown => {
    if (typeof node !== 'object' || node === null || exactDigits(node) !== undefined) return node;
    const [, id, text] = sealedText(node) ?? [];
    if (id === undefined || text === undefined)
      return Array.isArray(node)
        ? node.map((part) => shown(tenantId, part))
        : Object.fromEntries(Object.entries(node).map(([key, part]) => [key, shown(tenantId, part)]));
    const row = byId.get(`${tenantId} ${id}`);
    // Not one of this tenant's: somebody else wrote what only looks like it.
    if (!row) return node;
    if (!row.wrapped) return SHREDDED;
    if (!keys) return node;
    const key = plain.get(row.id) ?? unwrapped(keys, row);
    plain.set(row.id, key);
    decrypted += 1;
    try {
      return parse(opened(key, tenantId, id, text));
    } catch {
      return node;
    }
  };
  const values: Value[] = [];
  for (const { tenantId, value } of sealed) {
    if (decrypted >= AT_A_TIME) {
      await otherWork();
      decrypted = 0;
    }
    values.push(isSealed(value) ? (shown(tenantId, value) as Value) : value);
  }
  return values;
}

/**
 * The text of a JSON document of one tenant, such as the body of a webhook, as `reveal` shows it. Text without encrypted fields stays byte for byte, and
 * in other text every number keeps its digits.
 */
export async function revealText(tx: KeyedTransaction, tenantId: string, text: string, options: Pick<RevealOptions, 'closed'> = {}): Promise<string> {
  if (!text.includes('"$encrypted"')) return text;
  const value = parseExactJson(text);
  const [shown] = await reveal(tx, [{ tenantId, value }], { ...options, exact: true });
  return isSealed(value) ? JSON.stringify(shown) : text;
}
