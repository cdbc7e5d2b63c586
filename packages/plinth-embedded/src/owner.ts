/** One Plinth at a time may hold a data folder; the file owner.json in it says which process does. */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgresError } from './errors.ts';
import { isAlive, startMark } from './processes.ts';

interface Owner {
  readonly pid: number;
  /** Tells this process from a later one with the same number. */
  readonly mark: string | undefined;
}

export interface Ownership {
  release(): Promise<void>;
}

/**
 * Takes the folder for this process, or throws `data_in_use` naming the process that has it. The mark of a process that
 * died is taken over.
 */
export async function takeOwnership(folder: string): Promise<Ownership> {
  const file = join(folder, 'owner.json');
  const mine: Owner = { pid: process.pid, mark: await startMark(process.pid) };
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, JSON.stringify(mine));
  try {
    // A hard link appears whole or not at all, and fails when the name is taken.
    for (let round = 0; round < 20; round += 1) {
      try {
        await link(draft, file);
        return { release: () => rm(file, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      await removeStale(file, folder);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw inUse(folder, 'another process');
}

async function removeStale(file: string, folder: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const owner = parseOwner(text);
  if (owner !== undefined && (await isSame(owner))) throw inUse(folder, `process ${owner.pid}`);
  // Moved aside first: two starts that both saw the stale mark must not delete the fresh mark of one of them.
  const aside = `${file}.stale.${process.pid}.${randomBytes(4).toString('hex')}`;
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  const same = (await readFile(aside, 'utf8').catch(() => '')) === text;
  if (!same) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isSame(owner: Owner): Promise<boolean> {
  return (await isAlive(owner.pid)) && (await startMark(owner.pid)) === owner.mark;
}

function parseOwner(text: string): Owner | undefined {
  try {
    const value = JSON.parse(text) as Owner;
    return typeof value.pid === 'number' ? value : undefined;
  } catch {
    return undefined;
  }
}

function inUse(folder: string, by: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'data_in_use',
    `The data folder ${folder} is in use by ${by}.`,
    'Stop that Plinth first, or give this one a folder of its own with PLINTH_DATA_DIR.',
  );
}
