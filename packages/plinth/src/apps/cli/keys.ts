import { defineCommand } from 'citty';
import { createKeyRing } from '#kernel/keys.ts';
import { createKernel } from '#kernel/plinth.ts';
import { rewrapSubjectKeys } from '#modules/events';
import { modules } from '#registry';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { say, told } from './output.ts';
import { devState } from './trace.ts';

const rewrap = defineCommand({
  meta: { name: 'rewrap', description: 'Wrap stored keys under PLINTH_MASTER_KEY that are wrapped under one of PLINTH_MASTER_KEY_OLD.' },
  args: {
    url: { type: 'string', description: 'Database URL; default PLINTH_DATABASE_URL, else the running plinth dev' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      const environment = readEnvironment();
      if (environment.masterKey === undefined)
        throw new SettingFault('PLINTH_MASTER_KEY is not set: give the new master key, and the old one in PLINTH_MASTER_KEY_OLD.');
      const keys = createKeyRing({ current: environment.masterKey, old: environment.masterKeysOld });
      const url = databaseUrlOf('--url', args.url) ?? environment.databaseUrl ?? (await devState(environment.dataDir))?.adminUrl;
      if (!url) throw new SettingFault('No database is named: start plinth dev, set PLINTH_DATABASE_URL, or give --url.');
      const plinth = createKernel({ modules, database: { url, max: 1, applicationName: 'plinth keys' }, keys });
      try {
        const rewrapped = await rewrapSubjectKeys((body) => plinth.asWorker({}, body), keys);
        say(args.json ? JSON.stringify({ rewrapped, master: keys.current }) : `  ${rewrapped} keys wrapped under ${keys.current}.`);
      } finally {
        await plinth.close();
      }
    })(undefined),
});

export const keys = defineCommand({ meta: { name: 'keys', description: 'Keys that the database keeps wrapped.' }, subCommands: { rewrap } });
