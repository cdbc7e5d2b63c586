/** What npm gets: the packages that `npm run pack` makes, unpacked into a project outside of the repository, with what they depend on beside them. */
import { execFileSync, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { pack } from '../../tools/pack.ts';
import { read, root } from '../../tools/repo.ts';
import { type Running, startProgram } from '../cli/command.ts';
import { readmeExamples } from '../readme-examples.ts';

let project: string;
let files: string[];
let database: TestDatabase;

/** Links to what the repository has installed: packages of their own, as npm would put them there, without asking a registry. */
async function linkDependencies(modules: string): Promise<void> {
  for (const from of ['node_modules', 'apps/console/node_modules', 'packages/plinth/node_modules'].map((path) => join(root, path)))
    for (const name of await readdir(from).catch(() => [])) {
      if (name.startsWith('.') || name.startsWith('plinth')) continue;
      await symlink(join(from, name), join(modules, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'plinth-packed-'));
  const modules = join(project, 'node_modules');
  await mkdir(modules);
  for (const { path } of await pack(join(project, 'packed'))) {
    execFileSync('tar', ['-xzf', path, '-C', project]);
    const { name } = JSON.parse(await readFile(join(project, 'package/package.json'), 'utf8')) as { name: string };
    await cp(join(project, 'package'), join(modules, name), { recursive: true });
    await rm(join(project, 'package'), { recursive: true });
  }
  files = (await readdir(join(modules, 'plinth'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(modules, 'plinth').length + 1));
  await linkDependencies(modules);
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', type: 'module' }));
  await cp(join(import.meta.dirname, 'packed'), project, { recursive: true });
  await mkdir(join(project, 'examples'));
  await writeFile(join(project, 'examples/modules.ts'), `throw new Error('somebody else's examples were taken for those of Plinth');\n`);
  database = await testDatabase('packed');
});
afterAll(async () => {
  await database?.drop();
  await rm(project, { recursive: true, force: true });
});

/** Runs a program in the project; resolves with what it printed. Errors: it ended with another code than 0. */
async function run(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: project, env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, TENANT: database.tenantA } });
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('close', resolve);
  const code = await promise;
  const said = (await printed).join('');
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}:\n${said}`);
  return said;
}

const plinth = (args: readonly string[], variables: Record<string, string> = {}): Running =>
  startProgram(join(project, 'node_modules/plinth/bin/plinth.mjs'), args, variables, project);

test('holds what runs and its types, the console and the licence, and neither sources nor tests', async () => {
  expect(files.filter((path) => /\.(test|fixture)\.|(?<!\.d)\.tsx?$|vitest|\.stamp$/.test(path))).toEqual([]);
  expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'CHANGELOG.md', 'dist/console/index.html', 'dist/console/portal.html']));
  expect(await readFile(join(project, 'node_modules/plinth/LICENSE'), 'utf8')).toBe(await readFile(join(root, 'LICENSE'), 'utf8'));
  const bare = files.filter((path) => /\.(js|d\.ts)$/.test(path) && path.startsWith('dist/') && !path.startsWith('dist/console/'));
  expect(bare.length).toBeGreaterThan(500);
  for (const path of bare) {
    const source = await readFile(join(project, 'node_modules/plinth', path), 'utf8');
    // What Node and a bundler cannot follow, and a runtime of the oldest Node that is promised cannot read.
    expect(source, path).not.toMatch(/(from |import\()['"](#|\.[^'"]*\.tsx?['"])|^\s*await using /m);
  }
});

test('every door opens', async () => {
  const { exports } = JSON.parse(await readFile(join(project, 'node_modules/plinth/package.json'), 'utf8')) as { exports: Record<string, unknown> };
  const doors = Object.keys(exports).map((door) => join('plinth', door));
  expect(doors).toHaveLength(11);
  const code = doors.filter((door) => !/\.(css|json)$/.test(door)).concat('plinth-embedded');
  expect(
    await run([
      '--input-type=module',
      '-e',
      `for (const door of ${JSON.stringify(code)}) if (Object.keys(await import(door)).length === 0) throw new Error(door)`,
    ]),
  ).toBe('');
});

test.each(['nodenext', 'node16', 'bundler'])('the types hold for a strict compiler that resolves by %s', async (resolution) => {
  const module = resolution === 'bundler' ? 'esnext' : resolution;
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2024', '--lib', 'es2024,dom', '--types', 'node'];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  await run([compiler, ...options, '--module', module, '--moduleResolution', resolution, '--ignoreConfig', 'types.ts']);
});

test('the examples of every page hold for a strict compiler', async () => {
  const modules = await readdir(join(root, 'packages/plinth/src/modules'));
  const pages = [
    'README.md',
    'docs/your-application.md',
    'packages/plinth/README.md',
    ...modules.map((name) => `packages/plinth/src/modules/${name}/README.md`),
  ];
  const examples = pages.flatMap((page) =>
    readmeExamples(read(page))
      .filter(({ kind }) => kind === 'ts')
      .map(({ text: code, line }) => ({ name: `${page.replaceAll('/', '_')}-${line}.ts`, code })),
  );
  expect(examples.length).toBeGreaterThan(5);
  for (const { name, code } of examples) await writeFile(join(project, name), code);
  const options = [
    '--noEmit',
    '--strict',
    '--noUncheckedIndexedAccess',
    '--skipLibCheck',
    '--target',
    'es2024',
    '--types',
    'node',
    '--moduleDetection',
    'force',
  ];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  await run([compiler, ...options, '--module', 'nodenext', '--ignoreConfig', ...examples.map(({ name }) => name)]);
});

test('the types hold for one that looks into declarations too, tells what may be undefined from what may be left out, and knows no browser', async () => {
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2024', '--lib', 'es2024', '--types', 'node'];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  await run([compiler, ...options, '--module', 'nodenext', '--moduleResolution', 'nodenext', '--ignoreConfig', 'interfaces.ts']);
  // What not everybody has installed, or nobody; here it is beside the package.
  const server = files.filter((path) => path.endsWith('.d.ts') && !/^dist\/(client|react)\//.test(path));
  for (const path of server) {
    const declared = await readFile(join(project, 'node_modules/plinth', path), 'utf8');
    expect(declared, path).not.toMatch(/['"](ioredis|@nats-io\/[a-z-]+|trpc-to-openapi)['"]/);
  }
});

test('a bundle runs with plinth outside of it; with plinth inside, a worker says what it misses instead of doing nothing', async () => {
  const bundle = (into: string, ...options: string[]) =>
    run([join(root, 'node_modules/rolldown/bin/cli.mjs'), 'bundled.mjs', '--platform', 'node', '--dir', into, ...options]);
  await bundle('outside', '--external', 'plinth', '--external', 'plinth/worker');
  expect(await run(['outside/bundled.js'])).toContain('greeted');
  await bundle('inside');
  await expect(run(['inside/bundled.js'])).rejects.toThrow(/The SQL files of Plinth are not beside its code/);
});

test('a program outside writes, and a job runs in a thread', async () => {
  expect(await run(['thread.mjs'])).toContain('{"doubled":42}');
});

test('the command installs, knows its version, and takes nothing around it for a clone', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'packages/plinth/package.json'), 'utf8')) as { version: string };
  expect((await plinth(['--version']).ended).stdout).toContain(version);
  const plan = await plinth(['migrate', 'plan', '--url', database.url]).ended;
  expect(plan).toMatchObject({ code: 0, stdout: expect.stringMatching(/No migration is pending\.\n.*are up to date\./) });
  // The project has a file where a clone has its examples.
  const replay = await plinth(['replay', 'github']).ended;
  expect(replay).toMatchObject({ code: 1, stderr: expect.stringContaining('Run it in a clone of Plinth.') });
});

test('plinth start serves the console that is in the package', async () => {
  const serving = plinth(['start'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_PORT: '0' });
  const [, origin = ''] = await serving.line(/Serving on (http:\S+)/);
  await serving.line(/Console at /);
  const page = await fetch(`${origin}/console/`);
  expect(page.status).toBe(200);
  const script = /src="([^"]+\.js)"/.exec(await page.text())?.[1] ?? '';
  expect((await fetch(new URL(script, origin))).status).toBe(200);
  expect((await serving.stop('SIGTERM')).code).toBe(0);
});
