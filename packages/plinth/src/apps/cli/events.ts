import { writeFile } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { createKernel } from '#kernel/plinth.ts';
import { asyncApi, openApiWebhooks, readCatalogue, typescriptTypes } from '#modules/events';
import { modules } from '#registry';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { say, told } from './output.ts';
import { devState } from './trace.ts';

const FORMATS = ['asyncapi', 'openapi', 'typescript'] as const;

interface ExportAsk {
  url: string;
  format: (typeof FORMATS)[number];
  /** Slug or id; undefined: the types of all tenants. */
  tenant: string | undefined;
  internal: boolean;
  title: string;
}

/** The catalogue as the text of a file, which ends in a line break. */
export async function exportedCatalogue({ url, format, tenant, internal, title }: ExportAsk): Promise<string> {
  const plinth = createKernel({ modules, database: { url, max: 1, applicationName: 'plinth events export' } });
  try {
    const [found] =
      tenant === undefined
        ? [undefined]
        : await plinth.asReader({}, (tx) => tx.query<{ id: string }>('select id from plinth_kernel.tenants where slug = $1 or id::text = $1', [tenant]));
    if (tenant !== undefined && !found) throw new SettingFault(`There is no tenant ${JSON.stringify(tenant)}: give its slug or id.`);
    const catalogue = await plinth.transaction({ tenantId: found?.id, readOnly: true }, (tx) => readCatalogue(tx, { internal }));
    if (catalogue.types.length === 0)
      process.stderr.write(`  There are no event types ${tenant === undefined ? 'of all tenants: --tenant names one that has some' : `for ${tenant}`}.\n`);
    if (format === 'typescript') return typescriptTypes(catalogue);
    return `${JSON.stringify(format === 'asyncapi' ? asyncApi(catalogue, { title }) : openApiWebhooks(catalogue, { title }), null, 2)}\n`;
  } finally {
    await plinth.close();
  }
}

const exportCatalogue = defineCommand({
  meta: { name: 'export', description: 'Write the catalogue of event types for other tools.' },
  args: {
    format: { type: 'string', default: 'asyncapi', description: `${FORMATS.join(', ')}` },
    tenant: { type: 'string', description: 'Slug or id of the tenant whose types they are; default: only the types of all tenants' },
    internal: { type: 'boolean', description: 'Also types that are not for subscribers' },
    title: { type: 'string', default: 'Events', description: 'Title of the document' },
    out: { type: 'string', description: 'File to write; default: standard output' },
    url: { type: 'string', description: 'Database URL; default PLINTH_DATABASE_URL, else the running plinth dev' },
  },
  run: ({ args }) =>
    told(async () => {
      const format = FORMATS.find((one) => one === args.format);
      if (!format) throw new SettingFault(`There is no format ${JSON.stringify(args.format)}: choose ${FORMATS.join(', ')}.`);
      const environment = readEnvironment();
      const url = databaseUrlOf('--url', args.url) ?? environment.databaseUrl ?? (await devState(environment.dataDir))?.adminUrl;
      if (!url) throw new SettingFault('No database is named: start plinth dev, set PLINTH_DATABASE_URL, or give --url.');
      const text = await exportedCatalogue({ url, format, tenant: args.tenant, internal: args.internal ?? false, title: args.title });
      if (args.out === undefined) return void process.stdout.write(text);
      await writeFile(args.out, text);
      say(`  ${args.out} written.`);
    })(undefined),
});

export const events = defineCommand({
  meta: { name: 'events', description: 'Event types as files.' },
  subCommands: { export: exportCatalogue },
});
