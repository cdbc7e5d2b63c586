import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
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

/** What `plinth dev` made here before; undefined where it never ran. */
export async function keptSecrets(dataDir: string): Promise<Partial<DevSecrets> | undefined> {
  const text = await readFile(fileIn(dataDir), 'utf8').catch(() => undefined);
  return text ? (JSON.parse(text) as DevSecrets) : undefined;
}

export async function readSecrets(dataDir: string): Promise<DevSecrets> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const masterKey = randomBytes(32).toString('base64');
  const kept = (await keptSecrets(dataDir)) as DevSecrets | undefined;
  if (kept?.masterKey) return kept;
  const made: DevSecrets = {
    serverPassword: randomBytes(24).toString('base64url'),
    sessionSecret: randomBytes(32).toString('base64url'),
    demoSecret: `whsec_${randomBytes(32).toString('base64')}`,
    // A folder may be older than one of its secrets.
    ...kept,
    masterKey,
  };
  await writeSecrets(dataDir, made);
  return made;
}

/** Whole or not at all: a kill in between leaves the old file. */
export async function writeSecrets(dataDir: string, secrets: DevSecrets): Promise<void> {
  const fresh = `${fileIn(dataDir)}.${process.pid}`;
  await writeFile(fresh, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
  await rename(fresh, fileIn(dataDir));
}
