import { defineCommand } from 'citty';
import { ensureAdminKey, readiness } from '#apps/server/index.ts';
import { createKernel } from '#kernel/plinth.ts';
import { modules } from '#registry';
import type { Environment } from './environment.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { say, told } from './output.ts';
import { runParts } from './process.ts';
import { untilStopped } from './until-stopped.ts';

/** Looks before anything listens or works: a role that row security does not bind must not answer a single call. */
async function assertReady(url: string): Promise<void> {
  const plinth = createKernel({ modules, database: { url, max: 1, applicationName: 'plinth start' } });
  try {
    const { tiers } = await readiness(plinth as never, {});
    const faults = Object.values(tiers).flatMap(({ checks }) => checks.filter((check) => !check.ok).map((check) => check.fault ?? check.name));
    if (faults.length > 0)
      throw Object.assign(new Error(`Not ready to serve: ${faults.join('; ')}`), { wayOut: 'plinth doctor looks at everything and names the way out.' });
  } finally {
    await plinth.close();
  }
}

/** Serving a database that somebody else runs: nothing is created, and a role that row security does not bind is refused. */
async function serveParts(environment: Environment, parts: readonly ('server' | 'worker')[]): Promise<void> {
  if (!environment.databaseUrl)
    throw new SettingFault('PLINTH_DATABASE_URL is not set. Give the URL of the serving role, or use plinth dev for an embedded database.');
  const stopped = untilStopped(new Promise(() => {}));
  await assertReady(environment.databaseUrl);
  const running = await runParts({ environment, modules, serverUrl: environment.databaseUrl, maintenanceUrl: environment.maintenanceUrl, parts });
  try {
    if (environment.adminKey) await ensureAdminKey(running.plinth, environment.adminKey);
    const { serving } = running;
    if (serving) say(`Serving on ${serving.origin}${serving.taken ? `, because port ${serving.taken} is taken` : ''}`);
    else say('Working');
    await stopped;
  } finally {
    await running.stop();
  }
}

export const start = defineCommand({
  meta: { name: 'start', description: 'Serve the API (and, unless --no-worker, work) on the database of PLINTH_DATABASE_URL.' },
  args: { worker: { type: 'boolean', default: true, description: 'Also run jobs, deliveries and schedules in this process' } },
  run: ({ args }) => told(() => serveParts(readEnvironment(), args.worker ? ['server', 'worker'] : ['server']))(undefined).then(() => process.exit()),
});

export const worker = defineCommand({
  meta: { name: 'worker', description: 'Run jobs, deliveries, schedules and consumers on the database of PLINTH_DATABASE_URL.' },
  run: () => told(() => serveParts(readEnvironment(), ['worker']))(undefined).then(() => process.exit()),
});
