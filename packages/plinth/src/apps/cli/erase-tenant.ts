import { defineCommand } from 'citty';
import { isUuid } from '#kernel/ids.ts';
import { createKernel } from '#kernel/plinth.ts';
import { eraseTenant, tenantRows } from '#modules/maintenance';
import { readEnvironment, SettingFault } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { red, say, table, told } from './output.ts';
import { devState } from './trace.ts';

/** A dry run reads every row of the tenant. */
const LONGEST_COUNT_MS = 3_600_000;

interface Asked {
  tenantId: string;
  reason: string | undefined;
  dryRun: boolean;
  json: boolean;
}

async function run(environment: ReturnType<typeof readEnvironment>, { tenantId, reason, dryRun, json }: Asked): Promise<void> {
  if (!isUuid(tenantId)) throw new SettingFault(`${tenantId} is not the id of a tenant, a UUID.`);
  if (!dryRun && !reason?.trim()) throw new SettingFault('Say why, for the audit log: --reason "contract ended, request of 2026-11-20".');
  const url = environment.databaseUrl ?? environment.maintenanceUrl ?? (await devState(environment.dataDir))?.adminUrl;
  if (!url) throw new SettingFault('No database is named: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  const plinth = createKernel({ modules: await installedModules(environment), database: { url, max: 2, applicationName: 'plinth erase-tenant' } });
  try {
    const asWorker: Parameters<typeof tenantRows>[0]['asWorker'] = (body) => plinth.asWorker({ timeoutMs: LONGEST_COUNT_MS }, body as never);
    const { erased, left } = dryRun
      ? { erased: {}, left: await tenantRows({ asWorker }, tenantId) }
      : await eraseTenant({ asWorker }, { tenantId, reason: reason ?? '' });
    const sum = Object.values(erased).reduce((all, rows) => all + rows, 0);
    if (!dryRun && Object.keys(left).length > 0) process.exitCode = 1;
    if (json) return say(JSON.stringify({ erased, left }));
    if (!dryRun) say(`  ${sum} rows of tenant ${tenantId} were erased.`);
    if (Object.keys(left).length > 0) table(['kind', dryRun ? 'rows' : 'rows left'], Object.entries(left));
    else if (dryRun) say('  Nothing belongs to it.');
    if (process.exitCode === 1) say(`  ${red('✘')} Some rows are held by others, or still written: stop what writes them, and run it again.`);
  } finally {
    await plinth.close();
  }
}

export const eraseTenantCommand = defineCommand({
  meta: { name: 'erase-tenant', description: 'Delete everything that belongs to a tenant that is closed, for good.' },
  args: {
    tenant: { type: 'positional', required: true, description: 'Id of the tenant' },
    reason: { type: 'string', description: 'Why, for the audit log of the installation' },
    'dry-run': { type: 'boolean', description: 'Count what there is, and touch nothing' },
    ...modulesArgument,
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(() =>
      run(readEnvironment(variables(args)), { tenantId: args.tenant, reason: args.reason, dryRun: args['dry-run'] === true, json: args.json === true }),
    )(undefined),
});
