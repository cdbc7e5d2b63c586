import { readFileSync } from 'node:fs';

/** Of a program that was bundled into one file nobody knows: another manifest, or none, is where ours would be. */
function ownVersion(): string {
  try {
    const { name, version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { name: string; version: string };
    return name === 'plinth' ? version : 'bundled';
  } catch {
    return 'bundled';
  }
}

/** Version of the package. */
export const VERSION: string = ownVersion();
