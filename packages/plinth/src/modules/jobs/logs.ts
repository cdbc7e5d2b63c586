/** Lines that handlers keep with their jobs. */
import type { Queryable } from '#kernel/database.ts';

/** One line, as it is stored. */
export interface LogLine {
  tenant_id: string;
  job_id: string;
  run_id: string;
  attempt: number;
  message: string;
  fields?: unknown;
  /** How long ago it was written, ms. */
  ago_ms: number;
}

/** Lines of an attempt that are kept; one more says that the rest was left out. */
export const MOST_LOG_LINES = 1_000;
/** Message and fields of a line together, bytes. */
export const MOST_LOG_BYTES = 4_096;

const clean = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed();

/** At most so many bytes of the text, cut between two characters. */
function cut(text: string, mostBytes: number): string {
  if (text.length * 3 <= mostBytes || Buffer.byteLength(text) <= mostBytes) return text;
  const kept = Buffer.from(text)
    .subarray(0, mostBytes - 3)
    .toString();
  return `${kept.replace(/\uFFFD+$/, '')}…`;
}

/** Text without what JSON of the database cannot hold, in values and in names. */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return clean(value);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const names = Object.keys(value);
  return names.every((name) => clean(name) === name) ? value : Object.fromEntries(Object.entries(value).map(([name, inner]) => [clean(name), inner]));
}

/** The fields as JSON that the database takes; in place of what is none or too large, a note. */
function storableFields(fields: Record<string, unknown> | undefined, mostBytes: number): unknown {
  if (fields === undefined) return undefined;
  try {
    const text = JSON.stringify(fields, (_key, value: unknown) => storable(value));
    const sizeBytes = Buffer.byteLength(text);
    return sizeBytes > mostBytes ? { omitted: `the fields have ${sizeBytes} bytes` } : (JSON.parse(text) as unknown);
  } catch (error) {
    return { omitted: `the fields are not JSON: ${(error as Error).message}`.slice(0, 200) };
  }
}

/** Message and fields within the limits of a line: what is too long is cut or noted, never refused. */
export function storableLine(message: string, fields?: Record<string, unknown>): { message: string; fields?: unknown } {
  const kept = cut(clean(String(message)), MOST_LOG_BYTES);
  const stored = storableFields(fields, MOST_LOG_BYTES - Buffer.byteLength(kept));
  return stored === undefined ? { message: kept } : { message: kept, fields: stored };
}

/** Stores lines, at most 4,000, in their order. As plinth_worker. */
export async function writeLogs(tx: Queryable, lines: readonly LogLine[]): Promise<void> {
  await tx.query('select plinth_jobs.write_logs($1)', [JSON.stringify(lines)]);
}
