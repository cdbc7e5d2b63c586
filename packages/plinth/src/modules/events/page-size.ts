import { bytesRead } from '#kernel/feed-read.ts';

/** Payloads and metadata of a page: a server holds all of it for whoever asks, and others ask too. */
const MOST_BYTES = 8 * 1_048_576;

/**
 * Rows of `rows`, a query with payload and metadata, in the order of `key`, up to as many bytes as a page may have, the first in any case. `r` is a row in `select`; as a default
 * also `found`: how many there were.
 */
export function pageSql(rows: string, key: string, direction: '' | 'desc' = '', select = 'r.*, (select count(*) from r)::int as found'): string {
  return `with r as materialized (${rows}), sized as (
      select r.${key} as key, row_number() over (order by r.${key} ${direction}) as nth,
        sum(${bytesRead('r.payload')} + coalesce(${bytesRead('r.metadata')}, 0)) over (order by r.${key} ${direction}) as bytes from r)
    select ${select} from r join sized as s on s.key = r.${key} where s.nth = 1 or s.bytes <= ${MOST_BYTES} order by r.${key} ${direction}`;
}
