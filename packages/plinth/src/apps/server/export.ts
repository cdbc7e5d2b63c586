import type { Row } from '#kernel/records.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { CallFacts } from './call.ts';
import { callContext, principalWith } from './call.ts';
import type { Host } from './host.ts';

export type ExportFormat = 'csv' | 'ndjson';

const ROWS_AT_A_TIME = 1_000;
/** Across tenants a page looks at as many rows of each of them. */
const ROWS_ACROSS = 200;
const TYPES: Record<ExportFormat, string> = { csv: 'text/csv; charset=utf-8; header=present', ndjson: 'application/x-ndjson; charset=utf-8' };

const textOf = (value: unknown): string => {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

/**
 * One field as RFC 4180 wants it. Text that a spreadsheet would take for a formula gets a quotation mark in front (OWASP, CSV injection);
 * numbers keep their minus.
 */
export function csvField(value: unknown): string {
  const text = textOf(value);
  const safe = typeof value !== 'number' && /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const lineOf = (format: ExportFormat, columns: readonly string[], row: Row): string =>
  format === 'ndjson' ? `${JSON.stringify(row)}\n` : `${columns.map((column) => csvField(row[column])).join(',')}\r\n`;

export interface ExportAsk {
  module: string;
  list: string;
  format: ExportFormat;
  q: string;
}

/** Runs a read in the name of the caller, as any query of theirs: same transaction, same record of operator access. */
const read = <T>(host: Host, facts: CallFacts, body: (tx: AnyTransaction) => Promise<T>): Promise<T> =>
  callContext(host.calls, facts).run(
    { type: 'query', path: 'export', input: undefined, secretFields: [], operator: false, records: true, exactJson: true },
    body,
  ) as Promise<T>;

/** The caller, who may read the lists of the module. Errors: access_*, kernel_unauthenticated, kernel_forbidden. */
async function allowed(look: () => Promise<CallFacts>, module: string): Promise<CallFacts> {
  const facts = await look();
  principalWith(facts, `${module.slice(0, 60)}.read`);
  return facts;
}

/**
 * A whole list under its filter, as it is read: 1,000 rows in memory, each page in a transaction of its own, so that a slow reader holds no
 * snapshot open. Rows that come in meanwhile are newer than where the export started and are not in it. `look` reads the credential, before each page. Errors: those of the first page.
 */
export async function exportList(host: Host, look: () => Promise<CallFacts>, ask: ExportAsk): Promise<Response> {
  const facts = await allowed(look, ask.module);
  // Of every page: `since:1h` is not to move on while the export is read.
  const nowMs = host.plinth.clock.now();
  const limit = facts.credential.principal?.tenantId ? ROWS_AT_A_TIME : ROWS_ACROSS;
  const pageAfter = (cursor: string | undefined) => (tx: AnyTransaction) =>
    host.records.page(tx, ask.module, ask.list, { q: ask.q, cursor, limit, allColumns: true, nowMs });
  const [columns, first] = await read(
    host,
    facts,
    async (tx) => [await host.records.columns(tx, ask.module, ask.list), await pageAfter(undefined)(tx)] as const,
  );
  // The time of the request covers its first page; each later one has that much again, and its credential may have been revoked since.
  const again = async (): Promise<CallFacts> => ({ ...(await allowed(look, ask.module)), signal: AbortSignal.timeout(host.requestMs) });
  const encoder = new TextEncoder();
  let next: typeof first | undefined = first;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (ask.format === 'csv') controller.enqueue(encoder.encode(`${columns.map(csvField).join(',')}\r\n`));
    },
    async pull(controller) {
      const page = next;
      if (!page) return controller.close();
      controller.enqueue(encoder.encode(page.rows.map((row) => lineOf(ask.format, columns, row)).join('')));
      next = page.nextCursor === null ? undefined : await read(host, await again(), pageAfter(page.nextCursor));
      if (!next) controller.close();
      return undefined;
    },
  });
  const file = `${ask.module}-${ask.list}.${ask.format}`.replaceAll(/[^\w.-]/g, '');
  return new Response(body, { headers: { 'content-type': TYPES[ask.format], 'content-disposition': `attachment; filename="${file}"` } });
}
