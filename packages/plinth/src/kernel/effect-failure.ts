import type pg from 'pg';
import { beginText } from './begin.ts';
import type { Context } from './context.ts';
import type { Effect } from './effects.ts';
import { effectsDocument } from './effects.ts';
import { isLockTimeout, kernelErrors, PlinthError, toPlinthError } from './errors.ts';

const BLAMELESS = new Set(['kernel_schema_older', 'kernel_unavailable', 'kernel_read_only']);

/** The connection of a transaction that failed; `open`: it has to be rolled back. */
interface Own {
  client: pg.PoolClient;
  open: boolean;
}

/**
 * Finds which effect made the set-based write fail, by writing them one by one in a transaction that is rolled back.
 * Only failures pay for it. Always throws.
 */
export async function explain(pool: pg.Pool, context: Context, effects: readonly Effect[], cause: unknown, own?: Own): Promise<never> {
  const base = toPlinthError(cause);
  // No effect is to blame for a statement that failed before them, for a write that came too late, or for a database that knows none, takes no writes or is away: the
  // search would find the first one at fault, because it meets the same.
  if (cause instanceof PlinthError || (cause as { code?: unknown } | null)?.code === '25P02' || BLAMELESS.has(base.code)) throw base;
  // One effect that its module refused needs no search, and so no second connection: a pool whose every transaction fails at flush
  // would wait for itself. An error of the kernel (a deadlock, a lost connection) may have nothing to do with it.
  const only = effects.length === 1 && !base.code.startsWith('kernel_') ? effects[0] : undefined;
  const named = only ? { index: 0, effect: only } : await firstFailing(pool, context, effects, base, own).catch(() => undefined);
  if (!named) throw base;
  throw new PlinthError(
    'kernel_effect_failed',
    { ...kernelErrors.effect_failed, status: base.status },
    {
      message: `Effect ${named.index + 1} of ${effects.length}, ${named.effect.label}, failed: ${base.message}`,
      wayOut: base.wayOut,
      detail: { ...base.detail, effect: named.effect.label, effect_index: named.index, effect_code: base.code },
      cause,
    },
  );
}

/** A transaction that fails with more effects than this is not searched to its end. */
const MOST_TRIED = 1000;
/** Nor where one waits for a lock for so long: it may be the failed transaction itself that holds it, since before a savepoint, until it hears of the failure. */
const LOCK_MS = 200;

/**
 * The first effect that fails in the words of the failure, else the first that fails with its code. Others may fail here that did not there, because what they
 * build on (rows of the transaction, effects that were flushed before) is rolled back or not to be seen: those are passed by.
 *
 * `own` is the connection of the transaction that failed: using it again means that a pool whose every transaction fails does
 * not wait for itself. A joined transaction has none to give, so there the pool does.
 */
async function firstFailing(pool: pg.Pool, context: Context, effects: readonly Effect[], base: PlinthError, own: Own | undefined) {
  const client = own?.client ?? (await pool.connect());
  let alike: { index: number; effect: Effect } | undefined;
  try {
    if (own?.open) await client.query('rollback');
    await client.query(beginText({ lockMs: LOCK_MS }, context));
    for (const [index, effect] of effects.slice(0, MOST_TRIED).entries()) {
      await client.query('savepoint tried');
      const error = await client.query('call plinth.write_effects($1::text::jsonb)', [effectsDocument([effect])]).then(
        () => undefined,
        (reason: unknown) => toPlinthError(reason),
      );
      if (!error) continue;
      if (error.code === base.code && error.message === base.message) return { index, effect };
      if (isLockTimeout(error)) return alike;
      if (error.code === base.code) alike ??= { index, effect };
      await client.query('rollback to savepoint tried');
    }
    return alike;
  } finally {
    await client.query('rollback').catch(() => {});
    if (!own) client.release();
  }
}
