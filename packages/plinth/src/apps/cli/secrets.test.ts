/** Secrets that `plinth dev` keeps: made once, and never replaced because they could not be read. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keptSecrets, readSecrets, writeSecrets } from './secrets.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-secrets-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('starts at the same moment agree on one set, which is the one that is kept', async () => {
  const made = await Promise.all(Array.from({ length: 10 }, () => readSecrets(folder)));
  expect(new Set(made.map(({ masterKey }) => masterKey)).size).toBe(1);
  expect(await keptSecrets(folder)).toEqual(made[0]);
});

test('a folder that is older than the master key keeps its other secrets', async () => {
  await writeFile(join(folder, 'secrets.json'), JSON.stringify({ serverPassword: 'kept' }));
  const { serverPassword, masterKey } = await readSecrets(folder);
  expect(serverPassword).toBe('kept');
  expect(await keptSecrets(folder)).toMatchObject({ serverPassword: 'kept', masterKey });
});

test('a file that cannot be read or understood is refused by its name, and stays as it is', async () => {
  const file = join(folder, 'secrets.json');
  await writeSecrets(folder, await readSecrets(folder));
  const whole = await readFile(file, 'utf8');
  for (const text of ['', whole.slice(0, 100)]) {
    await writeFile(file, text);
    await expect(readSecrets(folder)).rejects.toThrow(`${file} cannot be used`);
    expect(await readFile(file, 'utf8')).toBe(text);
  }
  await rm(file);
  await rm(folder, { recursive: true });
  await writeFile(folder, 'a file where the folder should be');
  await expect(keptSecrets(folder)).rejects.toMatchObject({ wayOut: expect.stringContaining('restore it') });
});
