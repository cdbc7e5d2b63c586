import { defineCommand } from 'citty';
import { createLoginLink, ensureAdminKey } from '#apps/server/index.ts';
import { isUuid } from '#kernel/ids.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import { checkKey, findKeyById } from '#modules/access';
import { modules } from '#registry';
import type { Environment } from './environment.ts';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { dim, say, told } from './output.ts';
import { devState } from './trace.ts';

/** Where browsers find the server, as far as its environment says. */
function originOf({ publicUrl, host, port }: Environment): string {
  if (publicUrl) return publicUrl;
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

/** The key that the link signs in as; `secret` when it was made now. Errors: access_key_*, access_admin_key_*. */
async function operatorKey(plinth: Plinth<ModuleMap>, asked: string | undefined, adminKey: string | undefined): Promise<{ id: string; secret?: string }> {
  if (asked !== undefined) {
    const found = await plinth.asWorker({ readOnly: true }, (tx) => findKeyById(tx, asked, undefined));
    return { id: checkKey(found, plinth.clock.now()).id };
  }
  const { id, secret, created } = await ensureAdminKey(plinth, adminKey);
  return { id, ...(created && !adminKey && secret ? { secret } : {}) };
}

export const login = defineCommand({
  meta: { name: 'login', description: 'Print a link into the console that signs in once, within 15 minutes, in the name of an operator key.' },
  args: {
    key: {
      type: 'string',
      description: 'Id of the operator key; default PLINTH_ADMIN_KEY, else the oldest that is active. Where none is, one is made and printed',
    },
    url: { type: 'string', description: 'Database URL; default PLINTH_DATABASE_URL, else the running plinth dev' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      if (args.key !== undefined && !isUuid(args.key)) throw new SettingFault('--key is not the id of a key: GET /api/v1/operators/keys lists them.');
      const environment = readEnvironment();
      const given = databaseUrlOf('--url', args.url) ?? environment.databaseUrl;
      const running = given ? undefined : await devState(environment.dataDir);
      const url = given ?? running?.adminUrl;
      if (!url) throw new SettingFault('No database is named: set PLINTH_DATABASE_URL, start plinth dev, or give --url.');
      const plinth = createKernel({ modules, database: { url, max: 1, applicationName: 'plinth login' } });
      try {
        const key = await operatorKey(plinth as unknown as Plinth<ModuleMap>, args.key, environment.adminKey ?? running?.adminKey);
        const link = await createLoginLink(plinth, running?.origin ?? originOf(environment), key.id);
        if (args.json) return say(JSON.stringify({ link, operator_key_id: key.id, secret: key.secret ?? null }));
        say(link);
        say(dim(`  Signs in once, within 15 minutes, as operator key ${key.id}.`));
        if (key.secret) say(`  There was no active operator key. This one was made and is not told again: ${key.secret}`);
      } finally {
        await plinth.close();
      }
    })(undefined),
});
