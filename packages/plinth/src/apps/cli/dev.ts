import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineCommand } from 'citty';
import { createLoginLink, ensureAdminKey } from '#apps/server/index.ts';
import { PlinthError } from '#kernel/errors.ts';
import { newSecret } from '#kernel/secret-text.ts';
import { COMMAND, inClone } from './clone.ts';
import { freshConsole } from './console.ts';
import type { OpenDatabase } from './database.ts';
import { openDatabase, unlessAborted } from './database.ts';
import type { Environment } from './environment.ts';
import { portOf, readEnvironment } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { bold, box, dim, say, seconds, task, told } from './output.ts';
import type { RunningParts } from './process.ts';
import { runParts } from './process.ts';
import type { DevSecrets } from './secrets.ts';
import { readSecrets, writeSecrets } from './secrets.ts';
import { prepare } from './serve.ts';
import { untilStopped } from './until-stopped.ts';

interface Demo {
  stop(): Promise<void>;
}

/** The demo's customers and the receiver of their webhooks, beside the API's port; nothing where there are no examples. */
async function startDemo(running: RunningParts, secrets: DevSecrets): Promise<Demo | undefined> {
  const file = inClone('examples/demo/prepare.ts');
  if (!file) return undefined;
  const { prepareDemo } = (await import(file.href)) as {
    prepareDemo: (plinth: unknown, options: { port: number; secret: string }) => Promise<Demo & { url: string }>;
  };
  return task(
    'Prepared the demo',
    () => prepareDemo(running.plinth, { port: (running.serving?.port ?? 4400) + 1, secret: secrets.demoSecret }),
    ({ url }) => `Demo tenants acme and globex; their webhooks go to ${url}`,
  );
}

const GONE: readonly string[] = ['access_admin_key_revoked', 'access_admin_key_expired'];

/** The operator key, made once and kept in the data folder so that every start can show it; a new one when that was revoked or has expired. */
async function adminKey(environment: Environment, secrets: DevSecrets, running: RunningParts): Promise<{ id: string; key: string }> {
  const ensure = async (key: string) => ({ id: (await ensureAdminKey(running.plinth, key)).id, key });
  const fresh = async () => {
    const key = newSecret('operator');
    await writeSecrets(environment.dataDir, { ...secrets, adminKey: key });
    return ensure(key);
  };
  if (environment.adminKey) return ensure(environment.adminKey);
  if (!secrets.adminKey) return fresh();
  return ensure(secrets.adminKey).catch((error: unknown) => {
    if (!(error instanceof PlinthError) || !GONE.includes(error.code)) throw error;
    say(`  ! The admin key of the last start ${error.code === GONE[0] ? 'was revoked' : 'has expired'}; this start made a new one.`);
    return fresh();
  });
}

/** What other commands (`plinth replay`, `plinth trace`) need to find this process. */
export interface DevState {
  pid: number;
  origin: string;
  adminKey: string;
  adminUrl: string;
}
export const stateFile = (dataDir: string): string => join(dataDir, 'dev.json');

async function announce(environment: Environment, running: RunningParts, admin: { id: string; key: string }, database: OpenDatabase): Promise<void> {
  const origin = running.serving?.origin ?? '';
  const link = await createLoginLink(running.plinth, origin, admin.id);
  const state: DevState = { pid: process.pid, origin, adminKey: admin.key, adminUrl: database.adminUrl };
  await writeFile(stateFile(environment.dataDir), JSON.stringify(state), { mode: 0o600 });
  say();
  box([
    ['Console', link],
    ['API', `${origin}/api/v1`],
    ['API docs', `${origin}/docs`],
    ['Database', database.embedded ? database.adminUrl : database.name],
    ['Admin key', admin.key],
    ['Next', `${COMMAND} ${inClone('examples/modules.ts') ? 'replay github' : 'doctor'}`],
  ]);
  say(dim('  The console link signs in once, within 15 minutes. Ctrl-C stops everything; the data stay.'));
}

async function run(environment: Environment, stopping: AbortController): Promise<void> {
  const started = performance.now();
  const endedEarly = Promise.withResolvers<unknown>();
  const stopped = untilStopped(endedEarly.promise);
  void stopped.then(() => stopping.abort(new Error('stopped')));
  say(`${bold('Plinth')} ${dim(`Node ${process.versions.node} · no data leaves this machine`)}`);
  const secrets = await readSecrets(environment.dataDir);
  const all = await installedModules(environment, { examples: true });
  const database = await openDatabase(environment, all, secrets.serverPassword, stopping.signal);
  let running: RunningParts | undefined;
  let demo: Demo | undefined;
  try {
    // A role that may not install serves as it is, and may be one that row security does not bind.
    if (!database.embedded) await prepare(database.serverUrl, all, undefined);
    const consoleDirectory = await unlessAborted(stopping.signal, freshConsole(environment));
    running = await task(
      'Started the API and the worker',
      () =>
        runParts({
          environment: {
            ...environment,
            masterKey: environment.masterKey ?? secrets.masterKey,
            sessionSecret: environment.sessionSecret ?? secrets.sessionSecret,
          },
          modules: all,
          serverUrl: database.serverUrl,
          maintenanceUrl: environment.maintenanceUrl ?? database.adminUrl,
          parts: ['server', 'worker'],
          consoleDirectory,
          development: true,
        }),
      ({ serving }) => `Serving on ${serving?.origin}${serving?.taken ? `, because port ${serving.taken} is taken` : ''}`,
    );
    demo = await startDemo(running, secrets);
    const admin = await adminKey(environment, secrets, running);
    await announce(environment, running, admin, database);
    say(dim(`  Ready in ${seconds(performance.now() - started)}.`));
    void database.exited.then(endedEarly.resolve);
    if ((await stopped) === 'ended') {
      say(`\n${bold('The database ended by itself')}; see ${join(environment.dataDir, 'postgres', 'postgres.log')}.`);
      process.exitCode = 1;
    }
  } finally {
    const before = performance.now();
    await Promise.all([running?.stop(), demo?.stop()]);
    await database.stop();
    await rm(stateFile(environment.dataDir), { force: true });
    say(`\n  Stopped in ${seconds(performance.now() - before)}. The data are in ${environment.dataDir}.`);
  }
}

export const dev = defineCommand({
  meta: { name: 'dev', description: 'Start PostgreSQL, migrate, and serve API, worker and console, for development.' },
  args: {
    port: { type: 'string', description: 'Port of the API and console (PLINTH_PORT, default 4400); the next free one when it is taken' },
    ...modulesArgument,
  },
  run: ({ args }) =>
    told(async () => {
      const environment = readEnvironment(variables(args));
      const stopping = new AbortController();
      await run({ ...environment, port: portOf('--port', args.port) ?? environment.port }, stopping).catch((error: unknown) => {
        // What was under way when somebody stopped it did not fail.
        if (!stopping.signal.aborted) throw error;
        say('  Stopped before it was ready; the next start goes on from there.');
      });
    })(undefined).then(() => process.exit()),
});
