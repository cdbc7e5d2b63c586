import { readFile } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { Client } from '#kernel/database.ts';
import { isUuid } from '#kernel/ids.ts';
import type { DevState } from './dev.ts';
import { stateFile } from './dev.ts';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { bold, dim, say, seconds, told } from './output.ts';

interface TraceRow {
  kind: string;
  id: string;
  at: Date;
  ended_at: Date | null;
  status: string | null;
  title: string;
  entity: string | null;
  parent_id: string | null;
  xact: string | null;
  attempt: number | null;
}

/** The running `plinth dev` of this folder, if there is one. */
export async function devState(dataDir: string): Promise<DevState | undefined> {
  try {
    return JSON.parse(await readFile(stateFile(dataDir), 'utf8')) as DevState;
  } catch {
    // Nothing runs here, or it was killed while it wrote this.
    return undefined;
  }
}

async function rowsOf(url: string, correlationId: string): Promise<TraceRow[]> {
  const client = new Client({ connectionString: url, application_name: 'plinth trace' });
  await client.connect();
  try {
    await client.query('begin read only; set local role plinth_reader');
    return (
      await client.query<TraceRow>('select kind, id, at, ended_at, status, title, entity, parent_id, xact, attempt from plinth.trace($1)', [correlationId])
    ).rows;
  } finally {
    await client.end();
  }
}

/** Rows under the row that caused them; rows of the same transaction share a bar at the left. */
export function traceLines(rows: readonly TraceRow[]): string[] {
  const known = new Set(rows.map((row) => row.id));
  const first = rows[0]?.at.getTime() ?? 0;
  const letters = new Map<string, string>();
  for (const row of rows) if (row.xact && !letters.has(row.xact)) letters.set(row.xact, String.fromCharCode(65 + (letters.size % 26)));
  const lines: string[] = [];
  const print = (row: TraceRow, depth: number): void => {
    const took = row.ended_at ? ` ran ${seconds(row.ended_at.getTime() - row.at.getTime())}` : '';
    const tries = row.attempt ? ` try ${row.attempt}` : '';
    lines.push(
      `${letters.get(row.xact ?? '') ?? ' '} ${`+${row.at.getTime() - first} ms`.padStart(10)}  ${'  '.repeat(depth)}${row.kind.padEnd(10)} ${row.title}${row.entity ? `  ${row.entity}` : ''}${row.status ? `  ${row.status}` : ''}${tries}${took}`,
    );
    if (depth < 20) for (const child of rows.filter((candidate) => candidate.parent_id === row.id && candidate !== row)) print(child, depth + 1);
  };
  for (const row of rows) if (!row.parent_id || !known.has(row.parent_id)) print(row, 0);
  return lines;
}

export const trace = defineCommand({
  meta: { name: 'trace', description: 'Tell the whole story of a correlation id.' },
  args: {
    id: { type: 'positional', required: true, description: 'Correlation id' },
    url: { type: 'string', description: 'Database URL; default the running plinth dev, else PLINTH_DATABASE_URL' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      if (!isUuid(args.id))
        throw new SettingFault(`${JSON.stringify(args.id)} is not a correlation id: give the UUID that the X-Correlation-Id header or a list shows.`);
      const environment = readEnvironment();
      const url = databaseUrlOf('--url', args.url) ?? environment.databaseUrl ?? (await devState(environment.dataDir))?.adminUrl;
      if (!url) throw new SettingFault('No database is named: start plinth dev, set PLINTH_DATABASE_URL, or give --url.');
      const rows = await rowsOf(url, args.id);
      if (args.json) return say(JSON.stringify(rows));
      if (rows.length === 0) throw new Error(`Nothing is recorded under ${args.id}.`);
      say(`${bold('Trace')} ${args.id}  ${dim('rows with the same letter were committed together')}`);
      for (const line of traceLines(rows)) say(line);
    })(undefined),
});
