/**
 * `npm run pack [folder]`: makes of the two published packages what npm gets, as folders and as tarballs, in `dist/` unless another folder is named.
 *
 * Development runs the TypeScript sources as they are. A published package cannot: Node strips no types below node_modules, and whoever imports it should not
 * have to check our sources. So here the sources become JavaScript and declarations, without tests, and the manifest points to those.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { consoleDist } from '../apps/console/build.ts';
import { command, faultLines } from './checks/command.ts';
import { entryFiles, type Manifest, publishedManifest } from './pack/manifest.ts';
import { sources, stagedText } from './pack/sources.ts';
import { read, root } from './repo.ts';

/** What is beside the code in each package: where it is in the repository, and where in the package. In the order in which they are made. */
const companions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'plinth-embedded': { 'packages/plinth-embedded/README.md': 'README.md', LICENSE: 'LICENSE' },
  plinth: { 'packages/plinth/README.md': 'README.md', 'CHANGELOG.md': 'CHANGELOG.md', LICENSE: 'LICENSE' },
};

/** Runs the compiler over a folder whose imports are those of the finished package. Errors: what the compiler found. */
async function compile(stage: string, entries: readonly string[], out: string): Promise<void> {
  const lib = ['es2024', 'esnext.disposable', 'esnext.collection', 'esnext.array', 'esnext.iterator', 'dom', 'dom.iterable'];
  const config = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      noEmit: false,
      allowImportingTsExtensions: false,
      declaration: true,
      jsx: 'react-jsx',
      lib,
      rootDir: 'src',
      outDir: join(out, 'dist'),
      // The companion as it was packed before.
      paths: { 'plinth-embedded': [join(dirname(out), 'plinth-embedded/dist/index.d.ts')] },
    },
    files: entries,
  };
  writeFileSync(join(stage, 'tsconfig.json'), JSON.stringify(config));
  const printed = await command('tsc', ['-p', stage, '--checkers', '1', '--pretty', 'false'], root);
  if (printed.code !== 0) throw new Error(`the package does not compile:\n${faultLines(printed).join('\n')}`);
}

/** Writes the folder of one package. Returns the path. */
async function packageFolder(name: string, folder: string): Promise<string> {
  const source = join('packages', name);
  const manifest = JSON.parse(read(join(source, 'package.json'))) as Manifest;
  const out = join(folder, name);
  // Inside the package's folder, so that the compiler finds the same dependencies as the sources do.
  const stage = join(root, source, 'dist', `stage-${process.pid}`);
  rmSync(out, { recursive: true, force: true });
  try {
    for (const path of sources(source)) write(join(stage, path), stagedText(read(join(source, path)), path, manifest.imports ?? {}));
    await compile(stage, entryFiles(manifest, sources(source)), out);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
  for (const path of sources(source, /\.(sql|css)$/)) write(join(out, path.replace(/^src\//, 'dist/')), read(join(source, path)));
  for (const path of sources(source, /^bin\//)) write(join(out, path), read(join(source, path)));
  for (const [from, to] of Object.entries(companions[name] ?? {})) write(join(out, to), read(from));
  write(join(out, 'package.json'), `${JSON.stringify(publishedManifest(manifest), undefined, 2)}\n`);
  if (name === 'plinth') cpSync(await consoleDist(), join(out, 'dist', 'console'), { recursive: true, filter: (path) => !path.endsWith('.stamp') });
  return out;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Packs a folder with npm, into the folder that it stands in. Returns the path of the tarball, and what npm says of it. */
function tarball(folder: string): { path: string; files: number; megabytes: number } {
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--json', '--pack-destination', dirname(folder)], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm could not pack ${folder}:\n${stderr}`);
  const [packed] = JSON.parse(stdout) as { filename: string; entryCount: number; unpackedSize: number }[];
  if (!packed) throw new Error(`npm packed nothing of ${folder}`);
  return { path: join(dirname(folder), packed.filename), files: packed.entryCount, megabytes: packed.unpackedSize / 1e6 };
}

/** Makes all packages in a folder. Returns their tarballs. */
export async function pack(folder: string): Promise<ReturnType<typeof tarball>[]> {
  const made: ReturnType<typeof tarball>[] = [];
  for (const name of Object.keys(companions)) made.push(tarball(await packageFolder(name, folder)));
  return made;
}

if (import.meta.main) {
  for (const { path, files, megabytes } of await pack(resolve(process.argv[2] ?? join(root, 'dist'))))
    console.log(`${path}: ${files} files, ${megabytes.toFixed(1)} MB unpacked`);
}
