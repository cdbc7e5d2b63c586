import { defineCommand } from 'citty';
import { createServerRole, migratePlan, migrateSql, migrateUp } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, green, red, say, seconds, told } from './output.ts';
import { devState } from './trace.ts';

const ACTIONS = ['plan', 'up', 'status', 'sql'] as const;

const urlOf = async (given: string | undefined): Promise<string> => {
  const environment = readEnvironment();
  const url = databaseUrlOf('--url', given) ?? environment.maintenanceUrl ?? environment.databaseUrl ?? (await devState(environment.dataDir))?.adminUrl;
  if (!url)
    throw new SettingFault(
      'No database is named. Give --url, or set PLINTH_MAINTENANCE_URL or PLINTH_DATABASE_URL to a role that may create roles and schemas, or start plinth dev in this folder.',
    );
  return url;
};

type Plan = Awaited<ReturnType<typeof migratePlan>>;

function showViews(views: Plan['views']): void {
  for (const { name, fate, builtOn } of views) {
    if (fate === 'drop') say(`  ${builtOn.length > 0 ? red('in use') : 'drop'}  ${name} has other columns: it will be dropped and made again.`);
    else if (builtOn.length > 0) say(`  open  ${name} can be compared only when what is pending is applied; up looks before it changes anything.`);
    if (builtOn.length > 0) say(`    Built on it: ${builtOn.join(', ')}${fate === 'drop' ? '. Drop that, run plinth migrate up, and make it again.' : ''}`);
  }
}

/** What is installed and not of this version. */
function showStrangers({ unknown, otherModules }: Plan): void {
  for (const row of unknown) say(`  ${red('unknown here')}  ${row.module}/${row.name}${row.breaking ? '  breaking' : ''}`);
  if (unknown.length > 0) say('  The database is of a newer Plinth: its functions and views stay as they are.');
  if (otherModules.length > 0) say(`  Modules unknown here, left as they are: ${otherModules.join(', ')}`);
}

async function show(url: string, modules: ModuleMap, json: boolean, all: boolean): Promise<void> {
  const plan = await migratePlan({ url, modules });
  const { stale, unknown, otherModules, views } = plan;
  const rows = plan.migrations
    .filter((migration) => all || migration.state !== 'applied')
    .map(({ module, name, state, breaking, appliedAt }) => ({ module, name, state, breaking, appliedAt }));
  if (json) return say(JSON.stringify({ migrations: rows, repeatablesStale: stale.length > 0, stale, views, unknown, otherModules }));
  for (const row of rows)
    say(
      `  ${row.state === 'changed' ? red(row.state) : row.state === 'applied' ? green(row.state) : row.state}  ${row.module}/${row.name}${row.breaking ? '  breaking' : ''}`,
    );
  if (rows.length === 0) say('  No migration is pending.');
  if (stale.length === 0) say('  Functions, views and what the cards derive are up to date.');
  else if (unknown.length === 0) say(`  Functions, views and what the cards derive will be applied again; other than here: ${stale.join(', ')}`);
  showViews(views);
  showStrangers(plan);
}

/** `--expose public --expose-except users,tenants` */
function exposureOf(expose: string | undefined, except: string | undefined): { except: string[] } | undefined {
  if (expose && expose !== 'public') throw new SettingFault(`--expose ${expose}: only public can be exposed to.`);
  if (except && !expose) throw new SettingFault('--expose-except leaves names out of what --expose public exposes: give both.');
  const names = (except ?? '').split(',').map((name) => name.trim());
  return expose ? { except: names.filter((name) => name !== '') } : undefined;
}

async function up(
  url: string,
  modules: ModuleMap,
  json: boolean,
  exposePublic: { except: string[] } | undefined,
  serverRole: string | undefined,
): Promise<void> {
  const password = process.env.PLINTH_SERVER_PASSWORD;
  if (serverRole && !password) throw new SettingFault('PLINTH_SERVER_PASSWORD is not set: --server-role needs the password that the role is to have.');
  const result = await migrateUp({
    url,
    modules,
    ...(exposePublic ? { exposePublic } : {}),
    onWait: (holder) => (json ? undefined : say(dim(`    waits, and holds up nobody meanwhile: ${holder}`))),
    onStep: (step, ms) => (json ? undefined : say(`  ${green('✔')} ${step} ${dim(`(${seconds(ms)})`)}`)),
  });
  if (serverRole && password) await createServerRole({ url, name: serverRole, password });
  if (json) return say(JSON.stringify(result));
  if (result.newer) say(`  Nothing was done: the database is of a newer Plinth, which applied ${result.newer.join(', ')}.`);
  else if (result.applied.length === 0 && !result.repeatables) say('  Everything is up to date.');
  if (result.leftOut) say(`  Left out of schema public: ${result.leftOut.join(', ')}`);
}

export const migrate = defineCommand({
  meta: { name: 'migrate', description: 'Bring a database to this version: plan, up, status, sql.' },
  args: {
    action: { type: 'positional', required: true, description: 'plan (what up would do), up, status (every migration), sql (print all of it)' },
    url: { type: 'string', description: 'Database URL of a role that may create roles and schemas' },
    expose: { type: 'string', description: 'public: also put the functions and views into schema public' },
    'expose-except': { type: 'string', description: 'Names to leave out of schema public, with commas between: users,tenants' },
    'server-role': { type: 'string', description: 'Also make this login role, which the server connects as; password from PLINTH_SERVER_PASSWORD' },
    ...modulesArgument,
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      const action = ACTIONS.find((name) => name === args.action);
      if (!action) throw new SettingFault(`There is no migrate ${args.action}: choose ${ACTIONS.join(', ')}.`);
      const modules = await installedModules(readEnvironment(variables(args)));
      if (action === 'sql') return say(migrateSql(modules));
      const url = await urlOf(args.url);
      if (action === 'up') return up(url, modules, args.json === true, exposureOf(args.expose, args['expose-except']), args['server-role']);
      return show(url, modules, args.json === true, action === 'status');
    })(undefined),
});
