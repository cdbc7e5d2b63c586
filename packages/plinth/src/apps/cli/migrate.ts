import { defineCommand } from 'citty';
import { createServerRole, migratePlan, migrateSql, migrateUp } from '#kernel/migrate/index.ts';
import { modules } from '#registry';
import { readEnvironment, SettingFault } from './environment.ts';
import { dim, green, red, say, seconds, told } from './output.ts';

const ACTIONS = ['plan', 'up', 'status', 'sql'] as const;

const urlOf = (given: string | undefined): string => {
  const url = given ?? readEnvironment().maintenanceUrl ?? readEnvironment().databaseUrl;
  if (!url)
    throw new SettingFault(
      'No database is named. Give --url, or set PLINTH_MAINTENANCE_URL or PLINTH_DATABASE_URL to a role that may create roles and schemas.',
    );
  return url;
};

async function show(url: string, json: boolean, all: boolean): Promise<void> {
  const plan = await migratePlan({ url, modules });
  const rows = plan.migrations
    .filter((migration) => all || migration.state !== 'applied')
    .map(({ module, name, state, breaking, appliedAt }) => ({ module, name, state, breaking, appliedAt }));
  if (json) return say(JSON.stringify({ migrations: rows, repeatablesStale: plan.repeatablesStale, unknown: plan.unknown }));
  for (const row of rows)
    say(
      `  ${row.state === 'changed' ? red(row.state) : row.state === 'applied' ? green(row.state) : row.state}  ${row.module}/${row.name}${row.breaking ? '  breaking' : ''}`,
    );
  if (rows.length === 0) say('  No migration is pending.');
  say(
    plan.repeatablesStale
      ? '  Functions, views and what the cards derive will be applied again.'
      : '  Functions, views and what the cards derive are up to date.',
  );
  for (const row of plan.unknown) say(`  ${red('unknown here')}  ${row.module}/${row.name}${row.breaking ? '  breaking' : ''}`);
}

async function up(url: string, json: boolean, expose: string | undefined, serverRole: string | undefined): Promise<void> {
  if (expose && expose !== 'public') throw new SettingFault(`--expose ${expose}: only public can be exposed to.`);
  const password = process.env.PLINTH_SERVER_PASSWORD;
  if (serverRole && !password) throw new SettingFault('PLINTH_SERVER_PASSWORD is not set: --server-role needs the password that the role is to have.');
  const result = await migrateUp({
    url,
    modules,
    ...(expose ? { exposePublic: true } : {}),
    onStep: (step, ms) => (json ? undefined : say(`  ${green('✔')} ${step} ${dim(`(${seconds(ms)})`)}`)),
  });
  if (serverRole && password) await createServerRole({ url, name: serverRole, password });
  if (json) say(JSON.stringify(result));
  else if (result.applied.length === 0 && !result.repeatables) say('  Everything is up to date.');
}

export const migrate = defineCommand({
  meta: { name: 'migrate', description: 'Bring a database to this version: plan, up, status, sql.' },
  args: {
    action: { type: 'positional', required: true, description: 'plan (what up would do), up, status (every migration), sql (print all of it)' },
    url: { type: 'string', description: 'Database URL of a role that may create roles and schemas' },
    expose: { type: 'string', description: 'public: also put the functions and views into schema public' },
    'server-role': { type: 'string', description: 'Also make this login role, which the server connects as; password from PLINTH_SERVER_PASSWORD' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      const action = ACTIONS.find((name) => name === args.action);
      if (!action) throw new SettingFault(`There is no migrate ${args.action}: choose ${ACTIONS.join(', ')}.`);
      if (action === 'sql') return say(migrateSql(modules));
      const url = urlOf(args.url);
      if (action === 'up') return up(url, args.json === true, args.expose, args['server-role']);
      return show(url, args.json === true, action === 'status');
    })(undefined),
});
