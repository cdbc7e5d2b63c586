import type { SchemaElement } from 'hyparquet';

/**
 * How a column of Postgres is kept in Parquet. Rows come as Postgres' own texts (plinth_kernel.partition_rows) and must come back as the
 * same texts: that is what the read-back compares. uuid and times are typed, whole numbers are integers, jsonb is its JSON text;
 * everything else is its text, because a number type of Parquet would round it.
 */
export interface ArchiveColumn {
  name: string;
  /** SQL type, as format_type gives it. */
  type: string;
}

/** A value as hyparquet-writer takes it. */
type Stored = string | number | bigint | boolean | Uint8Array | null;

interface Mapping {
  element: Omit<SchemaElement, 'name'>;
  /** Text of Postgres to value of Parquet. */
  store: (text: string) => Stored;
  /** And back. */
  text: (value: unknown) => string;
}

const utf8 = new TextEncoder();
const asString = (value: unknown): string => String(value);

const text: Mapping = { element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } }, store: (value) => value, text: asString };
const int32: Mapping = { element: { type: 'INT32' }, store: Number, text: asString };
const int64: Mapping = { element: { type: 'INT64' }, store: BigInt, text: asString };

const DAY_MICROS = 86_400_000_000n;
const TIMESTAMP = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00)?$/;

/** Microseconds since 1970 of a timestamp in ISO style and UTC. Infinity is what Postgres itself stores for it. */
function micros(value: string): bigint {
  if (value === 'infinity') return 9223372036854775807n;
  if (value === '-infinity') return -9223372036854775808n;
  const found = TIMESTAMP.exec(value);
  if (!found) throw new RangeError(`a timestamp that an archive cannot hold: ${value}`);
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = found.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return (
    BigInt(date.getTime() / 86_400_000) * DAY_MICROS + BigInt(hours * 3600 + minutes * 60 + seconds) * 1_000_000n + BigInt((found[7] ?? '').padEnd(6, '0'))
  );
}

function timestampText(value: bigint, zone: string): string {
  if (value === 9223372036854775807n) return 'infinity';
  if (value === -9223372036854775808n) return '-infinity';
  const rest = ((value % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const iso = new Date(Number((value - rest) / 1000n)).toISOString().replace(/^\+0*/, '');
  const fraction = rest === 0n ? '' : `.${String(rest).padStart(6, '0').replace(/0+$/, '')}`;
  return `${iso.slice(0, -5).replace('T', ' ')}${fraction}${zone}`;
}

const timestamp = (zone: string): Mapping => ({
  element: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS', logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: zone !== '', unit: 'MICROS' } },
  store: micros,
  text: (value) => timestampText(value as bigint, zone),
});

const MAPPINGS: Record<string, Mapping> = {
  uuid: { element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type: { type: 'UUID' } }, store: (value) => value, text: asString },
  'timestamp with time zone': timestamp('+00'),
  'timestamp without time zone': timestamp(''),
  smallint: int32,
  integer: int32,
  bigint: int64,
  xid8: int64,
  boolean: { element: { type: 'BOOLEAN' }, store: (value) => value === 'true', text: asString },
  // Encoded here: the writer would turn the text into a JSON string of itself.
  jsonb: { element: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } }, store: (value) => utf8.encode(value), text: asString },
};
const mappingOf = (column: ArchiveColumn): Mapping => MAPPINGS[column.type] ?? text;

export const parquetSchema = (columns: readonly ArchiveColumn[]): SchemaElement[] => [
  { name: 'row', num_children: columns.length },
  ...columns.map((column): SchemaElement => ({ name: column.name, repetition_type: 'OPTIONAL', ...mappingOf(column).element })),
];

/** Texts of a column to what the writer takes. */
export function storeColumn(column: ArchiveColumn, values: readonly (string | null)[]): Stored[] {
  const { store } = mappingOf(column);
  return values.map((value) => (value === null ? null : store(value)));
}

/** What the reader gives back to the texts of Postgres. */
export function textColumn(column: ArchiveColumn, values: ArrayLike<unknown>): (string | null)[] {
  const { text: back } = mappingOf(column);
  return Array.from(values, (value) => (value === null || value === undefined ? null : back(value)));
}

/** Statistics let a reader skip row groups; of JSON they would be the document itself. */
export const hasStatistics = (column: ArchiveColumn): boolean => column.type !== 'jsonb';
