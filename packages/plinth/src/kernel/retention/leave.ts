import { setTimeout as pause } from 'node:timers/promises';
import { fail, PlinthError } from '../errors.ts';
import type { Leaving } from './archive.ts';
import { archivePartition, verifyArchive } from './archive.ts';
import type { RetentionServices, StepOutcome } from './services.ts';

/** A concurrent detach waits for every transaction that has used the table; beyond this it is left pending for the next run. */
const DETACH_TIMEOUT_MS = 60_000;
const PLAIN_ATTEMPTS = 6;

const stateOf = (error: unknown): string | undefined => (error as { code?: string } | null)?.code;
const isTimeout = (error: unknown): boolean => ['55P03', '57014'].includes(stateOf(error) ?? '');

/** Records what was done to the partition, or with `force` does it plainly: attached, pending, detached, returned, or a later state. */
const settle = async (services: RetentionServices, leaving: Leaving, force: boolean): Promise<string> => {
  const [row] = await services.asWorker((tx) => tx.query<{ state: string }>('select plinth_kernel.partition_detach($1, $2) as state', [leaving.id, force]));
  return row?.state ?? 'returned';
};

/**
 * Detaches without locking out readers or writers where an owner connection is given, and finishes a detach that was cut off.
 * Every way in ends in a state that the next call understands. Errors: kernel_partition_state when others keep it locked.
 */
async function detach(services: RetentionServices, leaving: Leaving): Promise<string> {
  let state = await settle(services, leaving, false);
  for (const how of ['concurrently', 'finalize']) {
    if (!services.owner || state !== (how === 'finalize' ? 'pending' : 'attached')) continue;
    try {
      await services.owner.run(`alter table ${leaving.table} detach partition ${leaving.partition} ${how}`, DETACH_TIMEOUT_MS);
    } catch (error) {
      if (!isTimeout(error)) throw error;
    }
    state = await settle(services, leaving, false);
  }
  for (let attempt = 1; (state === 'attached' || state === 'pending') && attempt <= PLAIN_ATTEMPTS; attempt++) {
    services.signal?.throwIfAborted();
    try {
      state = await settle(services, leaving, true);
    } catch (error) {
      if (!isTimeout(error)) throw error;
      await pause(25 * 2 ** attempt);
    }
  }
  if (state === 'attached' || state === 'pending')
    throw fail('partition_state', { message: `${leaving.partition} could not be detached: transactions on ${leaving.table} did not end` });
  return state;
}

/** A partition that something keeps after all goes back to its table. Answers why, or undefined when it is gone. */
async function drop(services: RetentionServices, leaving: Leaving): Promise<string | undefined> {
  const [row] = await services.asWorker((tx) => tx.query<{ kept: string | null }>('select plinth_kernel.partition_drop($1) as kept', [leaving.id]));
  if (!row?.kept) return undefined;
  await services.asWorker((tx) => tx.query('select plinth_kernel.partition_return($1)', [leaving.id]));
  return row.kept;
}

/**
 * Takes a leaving partition from wherever it stands to its end: detached, archived, read back, dropped. Each step is recorded, and
 * repeating one that was done is harmless.
 */
export async function takeOut(services: RetentionServices, leaving: Leaving): Promise<{ dropped: boolean; note?: string | undefined }> {
  const { storage } = services;
  const step = (action: 'detach' | 'archive' | 'verify' | 'drop', body: () => Promise<StepOutcome>): Promise<StepOutcome> =>
    services.step({ kind: leaving.kind, action, target: leaving.partition }, body);
  if (leaving.archives && !storage)
    throw fail('partition_kept', {
      message: `${leaving.partition} stays: its kind is archived and no archive storage is configured`,
      wayOut: 'Give the worker a storage adapter (PLINTH_DATA_DIR).',
    });
  let { state } = leaving;
  if (state === 'leaving') {
    await step('detach', async () => {
      state = await detach(services, leaving);
      return state === 'returned' ? { note: 'kept after all' } : {};
    });
  }
  if (state === 'returned') return { dropped: false, note: 'kept after all' };
  if (leaving.archives && storage && state === 'detached') {
    await step('archive', () => archivePartition(services, storage, leaving));
    state = 'archived';
  }
  if (leaving.archives && storage && state === 'archived') await step('verify', () => verifyOrAgain(services, leaving));
  const { note } = await step('drop', async () => {
    const kept = await drop(services, leaving);
    return { note: kept && `kept after all, and attached again: ${kept}` };
  });
  return { dropped: note === undefined, note };
}

/** An archive that cannot be read back is written once more, from the partition that is still there. */
async function verifyOrAgain(services: RetentionServices, leaving: Leaving): Promise<StepOutcome> {
  const { storage } = services;
  if (!storage) return {};
  try {
    return await verifyArchive(services, storage, leaving);
  } catch (error) {
    if (!(error instanceof PlinthError) || !error.code.startsWith('kernel_archive_')) throw error;
    const { key } = await archivePartition(services, storage, leaving);
    return { ...(await verifyArchive(services, storage, { ...leaving, archiveKey: key })), note: `written again, because: ${error.message}` };
  }
}
