import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Secrets that `plinth dev` makes for itself and keeps in the data folder, readable by its owner only. */
export interface DevSecrets {
  serverPassword: string;
  sessionSecret: string;
  /** Signs the webhooks to the demo's own receiver. */
  demoSecret: string;
  /** As PLINTH_MASTER_KEY. */
  masterKey: string;
  adminKey?: string;
}

const fileIn = (dataDir: string): string => join(dataDir, 'secrets.json');

/**
 * What `plinth dev` made here before; undefined where it never ran. Errors: a file that cannot be read or understood; taken for none, it would be replaced, and
 * what its master key encrypted would be lost.
 */
export async function keptSecrets(dataDir: string): Promise<Partial<DevSecrets> | undefined> {
  const file = fileIn(dataDir);
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Partial<DevSecrets>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw Object.assign(new Error(`${file} cannot be used: ${(error as Error).message}`, { cause: error }), {
      wayOut: 'Give it back to this user, or restore it from a copy. If the data of this folder may go, remove the folder.',
    });
  }
}

export async function readSecrets(dataDir: string): Promise<DevSecrets> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const kept = (await keptSecrets(dataDir)) as DevSecrets | undefined;
  if (kept?.masterKey) return kept;
  const made: DevSecrets = {
    serverPassword: randomBytes(24).toString('base64url'),
    sessionSecret: randomBytes(32).toString('base64url'),
    demoSecret: `whsec_${randomBytes(32).toString('base64')}`,
    // A folder may be older than one of its secrets.
    ...kept,
    masterKey: randomBytes(32).toString('base64'),
  };
  if (kept) {
    await writeSecrets(dataDir, made);
    return made;
  }
  // Of two first starts at once the one that is quicker decides, for both.
  await writeWhole(dataDir, made, link).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return readSecrets(dataDir);
}

export const writeSecrets = (dataDir: string, secrets: DevSecrets): Promise<void> => writeWhole(dataDir, secrets, rename);

/** Whole or not at all: a kill in between leaves what was there. */
async function writeWhole(dataDir: string, secrets: DevSecrets, putInPlace: (from: string, to: string) => Promise<void>): Promise<void> {
  const fresh = `${fileIn(dataDir)}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(fresh, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
    await putInPlace(fresh, fileIn(dataDir));
  } finally {
    await rm(fresh, { force: true });
  }
}
