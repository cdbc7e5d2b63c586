import { defineCommand } from 'citty';
import { createKernel } from '#kernel/plinth.ts';
import { declareProjections } from '#kernel/projection.ts';
import type { RebuildProgress } from '#kernel/projection-rebuild.ts';
import { cancelRebuild, rebuildProjection } from '#kernel/projection-rebuild.ts';
import type { Environment } from './environment.ts';
import { keysOf, readEnvironment, SettingFault } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, say, table, told } from './output.ts';
import { keptSecrets } from './secrets.ts';
import { devState } from './trace.ts';

interface Args {
  action: string;
  name: string | undefined;
  reason: string;
  restart: boolean;
  swap: boolean;
  parallel: number;
  json: boolean;
}

const ACTIONS = ['list', 'rebuild', 'cancel'];
const COLUMNS = ['name', 'kind', 'status', 'revision', 'declared_revision', 'rebuild_handled', 'live_handled', 'rebuilt_at', 'erasures', 'error'];

const progressLine = ({ phase, handled, of, waiting }: RebuildProgress): string =>
  dim(
    `  ${phase}: ${handled.toLocaleString('en')}${of ? ` of about ${of.toLocaleString('en')}` : ''} events read, ${waiting.toLocaleString('en')} known to wait`,
  );

async function run(environment: Environment, args: Args): Promise<void> {
  if (!ACTIONS.includes(args.action)) throw new SettingFault(`There is no action ${args.action}: choose ${ACTIONS.join(', ')}.`);
  const owner = environment.maintenanceUrl ?? (await devState(environment.dataDir))?.adminUrl;
  const url = environment.databaseUrl ?? owner;
  if (!url) throw new SettingFault('No database is named: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  // Handlers are to make of the events what they make of them in the worker. plinth dev keeps its key itself.
  const masterKey = environment.masterKey ?? (environment.databaseUrl === undefined ? (await keptSecrets(environment.dataDir))?.masterKey : undefined);
  const plinth = createKernel({
    modules: await installedModules(environment),
    database: { url, max: 12, applicationName: 'plinth projections' },
    keys: keysOf({ ...environment, masterKey }),
  });
  try {
    if (args.action === 'list') {
      await declareProjections(plinth, 'visitor');
      const rows = await plinth.asReader({}, (tx) => tx.query<Record<string, unknown>>(`select ${COLUMNS.join(', ')} from plinth.projections order by name`));
      if (args.json) return say(JSON.stringify(rows));
      if (rows.length === 0) return say('  No module declares a projection. Those of your own are known by --modules or PLINTH_MODULES.');
      return table(
        COLUMNS,
        rows.map((row) => COLUMNS.map((column) => String(row[column] ?? ''))),
      );
    }
    if (!args.name) throw new SettingFault(`Name the projection: plinth projections ${args.action} <module>.<name>.`);
    if (!owner) throw new SettingFault('Set PLINTH_MAINTENANCE_URL: a connection that owns the tables of the projection and is a member of plinth_worker.');
    if (args.action === 'cancel') {
      const gone = await cancelRebuild(plinth, args.name, args.reason, owner);
      return say(
        args.json
          ? JSON.stringify({ cancelled: true, gone })
          : gone
            ? '  Cancelled; nothing of it is left.'
            : '  Cancelled; the process that works on it stops within a second.',
      );
    }
    const report = await rebuildProjection(plinth, args.name, {
      ownerUrl: owner,
      restart: args.restart,
      parallel: args.parallel,
      onDifference: args.swap ? 'swap' : 'keep',
      ...(args.json ? {} : { onProgress: (progress) => say(progressLine(progress)) }),
    });
    if (!report.swapped) process.exitCode = 1;
    if (args.json) return say(JSON.stringify(report));
    for (const one of report.comparison) {
      say(
        `  ${one.table}: ${one.shadowRows.toLocaleString('en')} rows, ${one.equal ? 'equal to the old ones' : `not equal to the old ${one.rows.toLocaleString('en')}`}`,
      );
      if (report.swapped) continue;
      for (const row of one.onlyLive) say(`    only old: ${JSON.stringify(row)}`);
      for (const row of one.onlyShadow) say(`    only new: ${JSON.stringify(row)}`);
    }
    for (const [name, how] of Object.entries(report.how)) say(`  ${name}: ${how}`);
    say(report.swapped ? '  In place.' : '  The live tables were kept: the same revision made other rows. Rebuild with --swap, or cancel.');
    if (report.declaredRevision !== report.revision)
      say(`  Processes of revision ${report.declaredRevision} write it, and this is ${report.revision}: it is stale until it is rebuilt by theirs.`);
  } finally {
    await plinth.close();
  }
}

export const projections = defineCommand({
  meta: { name: 'projections', description: 'List the tables that follow from the events, make one anew beside the live one, or stop that.' },
  args: {
    action: { type: 'positional', default: 'list', description: ACTIONS.join(', ') },
    name: { type: 'positional', required: false, description: '<module>.<name>' },
    reason: { type: 'string', default: 'cancelled by plinth projections', description: 'Why it is cancelled' },
    restart: { type: 'boolean', description: 'Do not go on with a rebuild that was interrupted' },
    swap: { type: 'boolean', description: 'Put the new tables in place even if the same revision made others' },
    parallel: { type: 'string', default: '4', description: 'Batches at a time, 1 to 8' },
    ...modulesArgument,
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(() =>
      run(readEnvironment(variables(args)), {
        action: args.action ?? 'list',
        name: args.name,
        reason: args.reason,
        restart: args.restart === true,
        swap: args.swap === true,
        parallel: Number(args.parallel),
        json: args.json === true,
      }),
    )(undefined),
});
