import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { root } from '../repo.ts';

let folder: string;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'plinth-launch-')));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, content: unknown): Promise<void> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
}

/** A clone in small: one workspace, one dependency, one package for this platform and one for another. */
async function writeClone(): Promise<void> {
  const workspace = { name: 'one', dependencies: { left: '1.0.0' } };
  const manifest = { name: 'clone', workspaces: ['packages/*'], optionalDependencies: { here: '1.0.0', there: '1.0.0' } };
  const packages = {
    'node_modules/left': { version: '1.0.0' },
    'node_modules/here': { version: '1.0.0', optional: true, os: [process.platform], cpu: [process.arch] },
    'node_modules/there': { version: '1.0.0', optional: true, os: ['no-such-system'] },
    'node_modules/one': { resolved: 'packages/one', link: true },
  };
  await write('package.json', manifest);
  await write('packages/one/package.json', workspace);
  await write('package-lock.json', { packages: { '': manifest, 'packages/one': workspace, ...packages } });
  for (const name of ['left', 'here', 'one']) await write(`node_modules/${name}/package.json`, {});
  await write('node_modules/.package-lock.json', { packages });
}

/** Runs an expression over a module of tools/launch in a process of its own, with a Node's built-ins alone. */
async function run(module: string, expression: string, environment: NodeJS.ProcessEnv = {}) {
  const source = `import * as launch from ${JSON.stringify(join(root, 'tools', 'launch', module))};
    const folder = ${JSON.stringify(folder)};
    try { console.log(JSON.stringify({ value: await (${expression}) ?? null })); }
    catch (error) { console.log(JSON.stringify({ message: error.message, wayOut: error.wayOut })); }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { env: { ...process.env, ...environment } });
  const output = await text(child.stdout);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as { value?: unknown; message?: string; wayOut?: string };
}

describe('isInstalled', () => {
  const ask = async () => (await run('installed.mjs', 'launch.isInstalled(folder)')).value;

  test('accepts what the person installed with npm, and remembers it', async () => {
    await writeClone();
    expect(await ask()).toBe(true);
    await rm(join(folder, 'node_modules', '.package-lock.json'));
    expect(await ask()).toBe(true);
  });

  test.each([
    ['nothing is installed', () => rm(join(folder, 'node_modules'), { recursive: true })],
    ['a package is missing', () => rm(join(folder, 'node_modules/left'), { recursive: true })],
    ["this platform's package is missing", () => rm(join(folder, 'node_modules/here'), { recursive: true })],
    ['npm was ended half-way', () => rm(join(folder, 'node_modules/.package-lock.json'))],
    ['a package has another version', () => write('node_modules/.package-lock.json', { packages: { 'node_modules/left': { version: '2.0.0' } } })],
    ['a dependency was added by hand', () => write('packages/one/package.json', { dependencies: { left: '1.0.0', right: '1.0.0' } })],
  ])('sees that %s', async (_, change) => {
    await writeClone();
    await change();
    expect(await ask()).toBe(false);
  });

  test('asks again after a lock or a package.json has changed', async () => {
    await writeClone();
    expect(await ask()).toBe(true);
    await write('packages/one/package.json', { dependencies: { left: '1.1.0' } });
    expect(await ask()).toBe(false);
  });
});

describe('ensureInstalled', () => {
  async function fakeNpm(script: string): Promise<NodeJS.ProcessEnv> {
    await write('bin/npm-cli.js', script);
    return { npm_execpath: join(folder, 'bin', 'npm-cli.js') };
  }

  test('runs npm once when two start at the same moment', async () => {
    await writeClone();
    await rm(join(folder, 'node_modules'), { recursive: true });
    const environment = await fakeNpm(`
      const fs = require('node:fs');
      fs.appendFileSync(${JSON.stringify(join(folder, 'calls'))}, process.argv.slice(2).join(' ') + '\\n');`);
    const both = await Promise.all([1, 2].map(() => run('install.mjs', 'launch.ensureInstalled(folder)', environment)));
    expect(both).toEqual([{ value: null }, { value: null }]);
    const calls = (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n');
    expect(calls).toHaveLength(1);
    expect(calls[0]).toContain('--ignore-scripts');
  });

  test('takes over the lock of a process that died', async () => {
    await writeClone();
    await rm(join(folder, 'node_modules/left'), { recursive: true });
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');
    await write('node_modules/.plinth-install.lock', String(dead.pid));
    expect(await run('install.mjs', 'launch.ensureInstalled(folder)', await fakeNpm(''))).toEqual({ value: null });
  });

  test('names the way out when there is no network', async () => {
    await writeClone();
    await rm(join(folder, 'node_modules'), { recursive: true });
    const environment = await fakeNpm(`console.error('npm error code ENOTFOUND'); process.exit(1)`);
    const { message, wayOut } = await run('install.mjs', 'launch.ensureInstalled(folder)', environment);
    expect(message).toContain('npm error code ENOTFOUND');
    expect(wayOut).toContain('needs the npm registry');
  });

  test('says that npm is missing', async () => {
    await writeClone();
    await rm(join(folder, 'node_modules'), { recursive: true });
    const { message } = await run('install.mjs', 'launch.ensureInstalled(folder)', { npm_execpath: '', PATH: folder });
    expect(message).toBe('npm was not found.');
  });
});

describe('findNode', () => {
  test('prefers the platform package and falls back to the package `node`', async () => {
    const platform = `node_modules/node-${process.platform}-${process.arch}/bin/node`;
    for (const path of [platform, 'node_modules/node/bin/node']) {
      await write(path, '');
      await chmod(join(folder, path), 0o755);
    }
    expect((await run('node.mjs', 'launch.findNode(folder)')).value).toBe(join(folder, platform));
    await rm(join(folder, platform));
    expect((await run('node.mjs', 'launch.findNode(folder)')).value).toBe(join(folder, 'node_modules/node/bin/node'));
  });
});

describe('execute', () => {
  function start(program: string) {
    const call = `execute(${JSON.stringify(folder)}, process.execPath, ['-e', ${JSON.stringify(program)}])`;
    const source = `import { execute } from ${JSON.stringify(join(root, 'tools/launch/execute.mjs'))};
      process.exitCode = await ${call};`;
    return spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  test('npm stands directly above, so that a signal to npm reaches the program', async () => {
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    // Without exec a shell stands between, which passes no signal on.
    expect(Object.values(scripts).filter((script) => !script.startsWith('exec node tools/run.mjs '))).toEqual([]);
  });

  test('stops the program when npm was killed', async () => {
    const program = "process.on('SIGTERM', () => { console.log('stopped'); process.exit(0); }); setInterval(() => {}, 1000); console.log('ready');";
    const call = `execute(${JSON.stringify(folder)}, process.execPath, ['-e', ${JSON.stringify(program)}])`;
    const source = `import { execute } from ${JSON.stringify(join(root, 'tools/launch/execute.mjs'))}; process.exitCode = await ${call};`;
    await write('inner.mjs', source);
    const inner = JSON.stringify([join(folder, 'inner.mjs')]);
    const outer = `require('node:child_process').spawn(process.execPath, ${inner}, { stdio: 'inherit' }); setInterval(() => {}, 1000);`;
    const npm = spawn(process.execPath, ['-e', outer], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, npm_lifecycle_event: 'start' },
    });
    const lines = createInterface(npm.stdout)[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('ready');
    npm.kill('SIGKILL');
    expect((await lines.next()).value).toBe('stopped');
    expect(await lines.next()).toMatchObject({ done: true });
  });

  test("keeps the program's exit code", async () => {
    expect(await once(start('process.exit(7)'), 'exit')).toEqual([7, null]);
  });

  test('says by its exit code which signal ended the program', async () => {
    expect(await once(start("process.kill(process.pid, 'SIGKILL')"), 'exit')).toEqual([137, null]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('passes %s on, once even when npm sends Ctrl-C again', async (signal) => {
    const child = start(`
      process.on('${signal}', () => console.log('got'));
      process.on('SIGHUP', () => process.exit(0));
      setInterval(() => {}, 1000);
      console.log('ready');`);
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('ready');
    child.kill(signal);
    if (signal === 'SIGINT') child.kill(signal);
    expect((await lines.next()).value).toBe('got');
    child.kill('SIGHUP');
    expect(await lines.next()).toMatchObject({ done: true });
  });
});
