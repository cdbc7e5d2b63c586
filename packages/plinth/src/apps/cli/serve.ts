import { defineCommand } from 'citty';
import { ensureAdminKey, readiness } from '#apps/server/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { createKernel } from '#kernel/plinth.ts';
import { premakePartitions } from '#kernel/retention/premake.ts';
import { builtConsole } from './console.ts';
import type { Environment } from './environment.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, say, told } from './output.ts';
import { runParts } from './process.ts';
import { untilStopped } from './until-stopped.ts';

/**
 * Looks before anything listens or works: a role that row security does not bind must not answer a single call, nor a server whose
 * PLINTH_ADMIN_KEY was revoked. Partitions are made first: an installation that stood still for days has none for today, which is no reason to refuse; why
 * they cannot be made is told by what is looked at.
 */
export async function prepare(url: string, modules: ModuleMap, adminKey: string | undefined): Promise<void> {
  const plinth = createKernel({ modules, database: { url, max: 1, applicationName: 'plinth start' } });
  try {
    await premakePartitions((body) => plinth.asWorker({}, body)).catch(() => {});
    const { tiers } = await readiness(plinth as never, {});
    const faults = Object.values(tiers).flatMap(({ checks }) => checks.filter((check) => !check.ok).map((check) => check.fault ?? check.name));
    if (faults.length > 0)
      throw Object.assign(new Error(`Not ready to serve: ${faults.join('; ')}`), { wayOut: 'plinth doctor looks at everything and names the way out.' });
    if (adminKey) await ensureAdminKey(plinth, adminKey);
  } finally {
    await plinth.close();
  }
}

/** What there is to know of the console, in a line. */
function consoleNote({ publicUrl, sessionSecret }: Environment, directory: string | undefined, origin: string): string {
  if (!directory) return 'The console is not built: node apps/console/build.ts in the clone builds it, or name a folder with it in PLINTH_CONSOLE_DIR.';
  const lasts = sessionSecret ? '' : '; sign-ins end with this process, because PLINTH_SESSION_SECRET is not set';
  return `Console at ${publicUrl ?? origin}/console; plinth login prints a link that signs in${lasts}.`;
}

/** Serving a database that somebody else runs: nothing is created, and a role that row security does not bind is refused. */
async function serveParts(environment: Environment, parts: readonly ('server' | 'worker')[]): Promise<void> {
  if (!environment.databaseUrl)
    throw new SettingFault('PLINTH_DATABASE_URL is not set. Give the URL of the serving role, or use plinth dev for an embedded database.');
  const stopped = untilStopped(new Promise(() => {}));
  const serves = parts.includes('server');
  const consoleDirectory = serves ? builtConsole(environment) : undefined;
  const modules = await installedModules(environment);
  await prepare(environment.databaseUrl, modules, serves ? environment.adminKey : undefined);
  const { databaseUrl: serverUrl, maintenanceUrl } = environment;
  const running = await runParts({ environment, modules, serverUrl, maintenanceUrl, parts, consoleDirectory });
  try {
    const { serving } = running;
    if (serves && serving) {
      say(`Serving on ${serving.origin}${serving.taken ? `, because port ${serving.taken} is taken` : ''}`);
      say(dim(`  ${consoleNote(environment, consoleDirectory, serving.origin)}`));
    } else say(serving ? `Working; /livez, /readyz and /metrics at ${serving.origin}` : 'Working');
    await stopped;
  } finally {
    await running.stop();
  }
}

export const start = defineCommand({
  meta: { name: 'start', description: 'Serve the API and the console (and, unless --no-worker, work) on the database of PLINTH_DATABASE_URL.' },
  args: { worker: { type: 'boolean', default: true, description: 'Also run jobs, deliveries and schedules in this process' }, ...modulesArgument },
  run: ({ args }) =>
    told(() => serveParts(readEnvironment(variables(args)), args.worker ? ['server', 'worker'] : ['server']))(undefined).then(() => process.exit()),
});

export const worker = defineCommand({
  meta: { name: 'worker', description: 'Run jobs, deliveries, schedules and consumers on the database of PLINTH_DATABASE_URL.' },
  args: modulesArgument,
  run: ({ args }) => told(() => serveParts(readEnvironment(variables(args)), ['worker']))(undefined).then(() => process.exit()),
});
