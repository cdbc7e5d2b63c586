import { join } from 'node:path';
import { defineCommand } from 'citty';
import { diskStorage } from '#adapters/storage/disk.ts';
import { createLog } from '#kernel/log.ts';
import { createKernel } from '#kernel/plinth.ts';
import { planRetention } from '#kernel/retention/engine.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import type { Task } from '#modules/maintenance';
import { maintain as runMaintenance } from '#modules/maintenance';
import type { Environment } from './environment.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, red, say, table, told } from './output.ts';
import { devState } from './trace.ts';

const TASKS: readonly Task[] = ['daily', 'weekly', 'monthly', 'retention', 'premake'];

async function run(environment: Environment, task: string, dryRun: boolean, json: boolean): Promise<void> {
  const chosen = TASKS.find((name) => name === task);
  if (!chosen) throw new SettingFault(`There is no task ${task}: choose ${TASKS.join(', ')}.`);
  const admin = environment.maintenanceUrl ?? (await devState(environment.dataDir))?.adminUrl;
  const url = environment.databaseUrl ?? admin;
  if (!url) throw new SettingFault('No database is named: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  const plinth = createKernel({ modules: await installedModules(environment), database: { url, max: 4, applicationName: 'plinth maintain' } });
  try {
    const asWorker = <T>(body: Parameters<typeof plinth.asWorker<T>>[1]): Promise<T> => plinth.asWorker({}, body);
    if (dryRun) {
      const items = await planRetention({ asWorker: asWorker as never }, {}, true);
      if (json) say(JSON.stringify(items));
      else if (items.length === 0) say('  Nothing is past its time.');
      else
        table(
          Object.keys(items[0] ?? {}),
          items.map((item) => Object.values(item).map((value) => (typeof value === 'number' ? value : String(value ?? '')))),
        );
      return;
    }
    const storage = diskStorage(join(environment.dataDir, 'archive'));
    const report = await runMaintenance(
      {
        asWorker: asWorker as never,
        log: createLog({ part: 'maintain', level: environment.logLevel ?? 'info' }),
        storage,
        owner: admin ? ownerAccess(admin) : undefined,
      },
      { task: chosen },
    );
    if (report.status === 'failed') process.exitCode = 1;
    say(
      json
        ? JSON.stringify(report)
        : `  ${report.status}: ${report.partitionsMade} partitions made, ${report.partitionsDropped} dropped, ${report.rowsSwept} rows swept.`,
    );
    if (json) return;
    for (const warning of report.warnings) say(`  ! ${warning}`);
    for (const { partition, reason } of report.partitionsKept) say(`  ${dim(`${partition} stays: ${reason}`)}`);
    for (const { target, message } of report.failures) say(`  ${red('✘')} ${target}: ${message}`);
    if (report.error) say(`  ${red('✘')} ${report.error}`);
  } finally {
    await plinth.close();
  }
}

export const maintain = defineCommand({
  meta: { name: 'maintain', description: 'Make partitions, carry out the retention policies, vacuum: what the worker does on schedule.' },
  args: {
    task: { type: 'positional', default: 'daily', description: TASKS.join(', ') },
    'dry-run': { type: 'boolean', description: 'Tell exactly what would go, and touch nothing' },
    ...modulesArgument,
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) => told(() => run(readEnvironment(variables(args)), args.task ?? 'daily', args['dry-run'] === true, args.json === true))(undefined),
});
