import { FEED_SIGNAL } from '#kernel/feed.ts';
import type { KeyRing } from '#kernel/keys.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { fail } from './row.ts';

export interface Erasure {
  /** Of the key that is gone: what encrypted fields name. */
  keyId: string;
  erasedAt: Date;
  /** False: the subject had been erased before, and nothing was done. */
  first: boolean;
}

/**
 * Makes the personal fields of a data subject unreadable for good, in all events of the tenant: deletes the key, writes the audit entry
 * `subject.erased` as proof and publishes `events.subject_erased`, by which read models learn of it. Errors: events_operation_invalid.
 *
 * @example
 * await plinth.transaction({ tenantId }, (tx) => eraseSubject(tx, { subject: 'customer-17', reason: 'Request of 2026-11-21' }));
 */
export async function eraseSubject(tx: AnyTransaction, input: { subject: string; reason: string }): Promise<Erasure> {
  await tx.flush();
  const [row] = await tx.query<{ key_id: string; erased_at: Date; first: boolean }>('select * from plinth.erase_subject($1, $2)', [
    input.subject,
    input.reason,
  ]);
  if (!row) throw fail('operation_invalid', { message: 'The subject was not erased' });
  tx.signal(FEED_SIGNAL);
  return { keyId: row.key_id, erasedAt: row.erased_at, first: row.first };
}

const ROWS_AT_A_TIME = 500;

type Run = <T>(body: (tx: AnyTransaction) => Promise<T>) => Promise<T>;

const wrapSome = (run: Run, keys: KeyRing, limit: number, lock: 'skip locked' | ''): Promise<number> =>
  run(async (tx) => {
    const rows = await tx.query<{ tenant_id: string; id: string; wrapped: Buffer; master: string }>(
      `select tenant_id, id, wrapped, master from plinth_events.subject_keys where wrapped is not null and master <> $1 order by id limit $2 for update ${lock}`,
      [keys.current, limit],
    );
    const wrapped = rows.map((row) => {
      const key = keys.unwrap(row.tenant_id, row.id, row.wrapped, row.master);
      if (!key) throw fail('key_missing', { message: `The master key ${row.master} is not in the ring`, detail: { master_key: row.master } });
      return keys.wrap(row.tenant_id, row.id, key);
    });
    await tx.query(
      `update plinth_events.subject_keys as s set wrapped = k.wrapped, master = $4
       from unnest($1::uuid[], $2::uuid[], $3::bytea[]) as k (tenant_id, id, wrapped) where s.tenant_id = k.tenant_id and s.id = k.id`,
      [rows.map((row) => row.tenant_id), rows.map((row) => row.id), wrapped, keys.current],
    );
    return rows.length;
  });

/**
 * Wraps the keys of subjects that are wrapped under an old master key under the current one, 500 a transaction; what reads and writes goes on
 * meanwhile. Keys that somebody holds come last, one by one, so that nobody waits while they are waited for. Returns how many. Errors: events_key_missing
 * when the ring has not the old one.
 */
export async function rewrapSubjectKeys(run: Run, keys: KeyRing): Promise<number> {
  let done = 0;
  let last = ROWS_AT_A_TIME;
  while (last === ROWS_AT_A_TIME) {
    last = await wrapSome(run, keys, ROWS_AT_A_TIME, 'skip locked');
    done += last;
  }
  while ((await wrapSome(run, keys, 1, '')) > 0) done += 1;
  return done;
}
