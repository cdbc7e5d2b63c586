import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fail } from '#kernel/errors.ts';
import type { Storage, StorageReader, StoredObject } from '#kernel/retention/storage.ts';

const KEY = /^[a-z0-9][a-z0-9._-]*(?:\/[a-z0-9][a-z0-9._-]*)*$/;
const LONGEST_KEY = 500;
/** Parts of a writer that was killed; one that is younger may belong to a writer that lives. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/**
 * Objects as files below `root`. A body is written beside its place, flushed to the disk, and renamed over it, and the folder
 * is flushed too: after a power cut there is the old object or the new one.
 */
export function diskStorage(root: string): Storage {
  const pathOf = (key: string): string => {
    if (!KEY.test(key) || key.length > LONGEST_KEY || key.includes('..'))
      throw fail('storage_key', { message: `${JSON.stringify(key.slice(0, 80))} is not a storage key` });
    return join(root, ...key.split('/'));
  };
  return {
    async put(key, body) {
      const path = pathOf(key);
      await mkdir(dirname(path), { recursive: true });
      await removeAbandoned(path);
      const part = `${path}.${randomUUID()}.part`;
      try {
        const stored = await writeDurably(part, body);
        await rename(part, path);
        await flushFolder(dirname(path));
        return stored;
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
    async open(key) {
      const file = await open(pathOf(key), 'r').catch(unlessMissing);
      if (!file) return undefined;
      return reader(file, (await file.stat()).size);
    },
    async remove(key) {
      const path = pathOf(key);
      const found = await stat(path).catch(unlessMissing);
      await rm(path, { force: true });
      return found !== undefined;
    },
  };
}

const unlessMissing = (error: NodeJS.ErrnoException): undefined => {
  if (error.code === 'ENOENT') return undefined;
  throw error;
};

async function writeDurably(path: string, body: AsyncIterable<Uint8Array>): Promise<StoredObject> {
  await using file = await open(path, 'wx', 0o640);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const bytes of body) {
    hash.update(bytes);
    sizeBytes += bytes.length;
    await file.writeFile(bytes);
  }
  await file.sync();
  return { sizeBytes, sha256: hash.digest('hex') };
}

async function flushFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

async function removeAbandoned(path: string): Promise<void> {
  const folder = dirname(path);
  const parts = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.part'));
  for (const name of parts) {
    const found = await stat(join(folder, name)).catch(unlessMissing);
    if (found && found.mtimeMs < Date.now() - ABANDONED_MS) await rm(join(folder, name), { force: true });
  }
}

function reader(file: FileHandle, sizeBytes: number): StorageReader {
  return {
    sizeBytes,
    async read(start, end) {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, sizeBytes) - start));
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) throw fail('archive_unreadable', { message: 'The object became shorter while it was read' });
        filled += bytesRead;
      }
      return bytes;
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
