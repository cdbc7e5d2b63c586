import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { diskStorage } from './disk.ts';

const root = await mkdtemp(join(tmpdir(), 'plinth-disk-'));
const storage = diskStorage(root);
afterAll(() => rm(root, { recursive: true, force: true }));

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}
const read = async (key: string): Promise<string | undefined> => {
  await using object = await storage.open(key);
  return object && new TextDecoder().decode(await object.read(0, object.sizeBytes));
};

test('an object is stored whole, with its size and checksum, and read in parts', async () => {
  expect(await storage.put('a/b/one.txt', chunks('hello ', 'world'))).toEqual({
    sizeBytes: 11,
    sha256: createHash('sha256').update('hello world').digest('hex'),
  });
  await using object = await storage.open('a/b/one.txt');
  expect(object?.sizeBytes).toBe(11);
  expect(new TextDecoder().decode(await object?.read(6, 11))).toBe('world');
  expect(new TextDecoder().decode(await object?.read(6, 99))).toBe('world');
  expect(await object?.read(11, 11)).toHaveLength(0);
});

test('a put that fails half way leaves the object that was there, and nothing else', async () => {
  await storage.put('b/two.txt', chunks('old'));
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* chunks('new');
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  }
  await expect(storage.put('b/two.txt', failing())).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(await read('b/two.txt')).toBe('old');
  expect(await readdir(join(root, 'b'))).toEqual(['two.txt']);
});

test('what a killed writer left is removed a day later by the next put of that key, what a living one writes is not', async () => {
  await storage.put('c/three.txt', chunks('x'));
  const old = new Date(Date.now() - 2 * 86_400_000);
  await writeFile(join(root, 'c', 'three.txt.dead.part'), 'half');
  await utimes(join(root, 'c', 'three.txt.dead.part'), old, old);
  await writeFile(join(root, 'c', 'three.txt.live.part'), 'half');
  await storage.put('c/three.txt', chunks('y'));
  expect((await readdir(join(root, 'c'))).sort()).toEqual(['three.txt', 'three.txt.live.part']);
});

test('an object that is not there is undefined, and removing it is no failure', async () => {
  expect(await storage.open('no/such')).toBeUndefined();
  expect(await storage.remove('no/such')).toBe(false);
  await storage.put('d/four', chunks('x'));
  expect(await storage.remove('d/four')).toBe(true);
  expect(await storage.open('d/four')).toBeUndefined();
});

test.each(['', '/etc/passwd', '../x', 'a/../b', 'a//b', 'a/.hidden', 'A', 'a b', 'a\0b', 'a/', 'x'.repeat(501), 'a..b'])('%j is no key', async (key) => {
  await expect(storage.put(key, chunks('x'))).rejects.toMatchObject({ code: 'kernel_storage_key' });
  await expect(storage.open(key)).rejects.toMatchObject({ code: 'kernel_storage_key' });
});
