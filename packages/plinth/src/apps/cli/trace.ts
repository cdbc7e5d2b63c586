import { readFile } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { Client } from '#kernel/database.ts';
import { readCorrelationId } from '#kernel/ids.ts';
import { MOST_TRACE_ROWS } from '#kernel/migrate/derive.ts';
import type { DevState } from './dev.ts';
import { stateFile } from './dev.ts';
import { databaseUrlOf, readEnvironment, SettingFault } from './environment.ts';
import { bold, dim, plain, say, seconds, told } from './output.ts';

interface TraceRow {
  kind: string;
  id: string;
  at: Date;
  ended_at: Date | null;
  status: string | null;
  title: string | null;
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

export async function rowsOf(url: string, correlationId: string): Promise<TraceRow[]> {
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

/** A, B, ... Z, AA, AB, ...: as many as there are transactions. */
const lettersOf = (index: number): string => (index < 26 ? '' : lettersOf(Math.floor(index / 26) - 1)) + String.fromCharCode(65 + (index % 26));
const DEEPEST_INDENT = 12;

/** Rows under the row that caused them; rows of the same transaction have the same letters at the left. Each row once, also where rows cause each other in a circle. */
export function traceLines(rows: readonly TraceRow[]): string[] {
  const known = new Set(rows.map((row) => row.id));
  const children = Map.groupBy(rows, (row) => row.parent_id);
  const transactions = [...new Set(rows.flatMap(({ xact }) => (xact ? [xact] : [])))];
  const letters = new Map(transactions.map((xact, index) => [xact, lettersOf(index)]));
  const lettersWidth = lettersOf(Math.max(transactions.length - 1, 0)).length;
  const kindWidth = Math.max(...rows.map(({ kind }) => kind.length));
  const first = rows[0]?.at.getTime() ?? 0;
  const lines: string[] = [];
  const printed = new Set<TraceRow>();
  const tell = (root: TraceRow): void => {
    const next = [{ row: root, depth: 0 }];
    for (let one = next.pop(); one; one = next.pop()) {
      const { row, depth } = one;
      if (printed.has(row)) continue;
      printed.add(row);
      const notes = [
        row.entity ? ` ${row.entity}` : '',
        row.status ? ` ${row.status}` : '',
        row.attempt ? `try ${row.attempt}` : '',
        row.ended_at ? `ran ${seconds(row.ended_at.getTime() - row.at.getTime())}` : '',
      ].filter(Boolean);
      const place = `${(letters.get(row.xact ?? '') ?? '').padEnd(lettersWidth)} ${`+${row.at.getTime() - first} ms`.padStart(10)}`;
      lines.push(plain([`${place}  ${'  '.repeat(Math.min(depth, DEEPEST_INDENT))}${row.kind.padEnd(kindWidth)} ${row.title ?? ''}`, ...notes].join(' ')));
      next.push(...(children.get(row.id) ?? []).map((child) => ({ row: child, depth: depth + 1 })).reverse());
    }
  };
  for (const row of rows) if (!row.parent_id || !known.has(row.parent_id)) tell(row);
  for (const row of rows) tell(row);
  return lines;
}

export const trace = defineCommand({
  meta: { name: 'trace', description: 'Tell the whole story of a correlation id.' },
  args: {
    id: { type: 'positional', required: true, description: 'Correlation id' },
    url: { type: 'string', description: 'Database URL; default PLINTH_DATABASE_URL, else the running plinth dev' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      const id = readCorrelationId(args.id);
      if (!id)
        throw new SettingFault(
          `${JSON.stringify(args.id)} is not a correlation id: give the UUID that the X-Correlation-Id header or a list shows, or the 32 digits of a traceparent.`,
        );
      const environment = readEnvironment();
      const url = databaseUrlOf('--url', args.url) ?? environment.databaseUrl ?? (await devState(environment.dataDir))?.adminUrl;
      if (!url) throw new SettingFault('No database is named: start plinth dev, set PLINTH_DATABASE_URL, or give --url.');
      const rows = await rowsOf(url, id);
      if (rows.length >= MOST_TRACE_ROWS)
        process.stderr.write(
          `  Only the oldest ${MOST_TRACE_ROWS.toLocaleString('en')} records are told; there may be more. The lists of the console find them by correlation_id:${id}.\n`,
        );
      if (args.json) return say(JSON.stringify(rows));
      if (rows.length === 0) throw new Error(`Nothing is recorded under ${id}.`);
      say(`${bold('Trace')} ${id}  ${dim('rows with the same letter were committed together')}`);
      for (const line of traceLines(rows)) say(line);
    })(undefined),
});
