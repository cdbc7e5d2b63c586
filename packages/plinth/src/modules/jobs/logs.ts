/** Lines that handlers keep with their jobs. */
import { cleanText } from '#kernel/clean-text.ts';
import type { Queryable } from '#kernel/database.ts';
import { storable } from './storable.ts';

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

/** At most so many bytes of the text, cut between two characters. */
function cut(text: string, mostBytes: number): string {
  if (text.length * 3 <= mostBytes || Buffer.byteLength(text) <= mostBytes) return text;
  const kept = Buffer.from(text)
    .subarray(0, mostBytes - 3)
    .toString();
  return `${kept.replace(/\uFFFD+$/, '')}…`;
}

/** The fields as JSON that the database takes; in place of what is none or too large, a note. */
function storableFields(fields: Record<string, unknown> | undefined, mostBytes: number): unknown {
  if (fields === undefined) return undefined;
  try {
    const text = JSON.stringify(fields);
    const sizeBytes = Buffer.byteLength(text);
    return sizeBytes > mostBytes ? { omitted: `the fields have ${sizeBytes} bytes` } : storable(JSON.parse(text), text);
  } catch (error) {
    return { omitted: `the fields are not JSON: ${(error as Error).message}`.slice(0, 200) };
  }
}

/** Message and fields within the limits of a line: what is too long is cut or noted, never refused. */
export function storableLine(message: string, fields?: Record<string, unknown>): { message: string; fields?: unknown } {
  const kept = cut(cleanText(String(message)), MOST_LOG_BYTES);
  const stored = storableFields(fields, MOST_LOG_BYTES - Buffer.byteLength(kept));
  return stored === undefined ? { message: kept } : { message: kept, fields: stored };
}

/** Stores lines, at most 4,000, in their order. As plinth_worker. */
export async function writeLogs(tx: Queryable, lines: readonly LogLine[]): Promise<void> {
  await tx.query('select plinth_jobs.write_logs($1)', [JSON.stringify(lines)]);
}
