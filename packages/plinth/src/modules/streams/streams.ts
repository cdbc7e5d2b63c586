import type { AnyTransaction } from '#kernel/transaction.ts';

/** A stream as its readers see it. Positions are text: bigint does not fit a JavaScript number. */
export interface OpenStream {
  id: string;
  content_type: string;
  tail: string;
  closed: boolean;
  ttl_s: string | null;
  expires_text: string | null;
}

export interface StreamMessage {
  /** Position after the message. */
  position: string;
  data: Buffer;
}

export interface CreateStream {
  contentType?: string | undefined;
  data?: Uint8Array | undefined;
  closed?: boolean;
  /** Ends so long after its last use, seconds. */
  ttlS?: number | undefined;
  /** ISO 8601. */
  expiresAt?: string | undefined;
  fork?: { path: string; at?: string | undefined; part?: number | undefined } | undefined;
}

export interface AppendStream {
  /** Undefined: only closes. JSON as values joined by commas. */
  data?: Uint8Array | undefined;
  contentType?: string | undefined;
  /** Orders writers: each must be greater than the last. */
  seq?: string | undefined;
  close?: boolean;
  /** Makes repetitions harmless: numbers of an epoch go up by one from 0. */
  producer?: { id: string; epoch: number; seq: number } | undefined;
}

export interface AppendedStream {
  stream_id: string;
  tail: string;
  closed: boolean;
  duplicate: boolean;
  producer_seq: string | null;
}

/** Woken after something was appended to, closed in or deleted from a stream. */
export const streamSignal = (id: string): string => `streams:${id}`;

/** Creates a stream, or finds the one that was created with the same settings. Errors: streams_*. */
export async function createStream(
  tx: AnyTransaction,
  path: string,
  options: CreateStream = {},
): Promise<{ created: boolean; tail: string; closed: boolean; content_type: string }> {
  const [row] = await tx.query<{ created: boolean; tail: string; closed: boolean; content_type: string }>(
    'select * from plinth.create_durable_stream($1, $2, $3, $4, $5, $6, $7, $8, $9)',
    [
      path,
      options.contentType,
      options.data,
      options.closed ?? false,
      options.ttlS,
      options.expiresAt,
      options.fork?.path,
      options.fork?.at,
      options.fork?.part,
    ],
  );
  if (!row) throw new Error('the stream was not created');
  return row;
}

/** Appends in this transaction, and closes when asked to. Errors: streams_*. */
export async function appendStream(tx: AnyTransaction, path: string, options: AppendStream): Promise<AppendedStream> {
  const { producer } = options;
  const [row] = await tx.query<AppendedStream>('select * from plinth.append_durable_stream($1, $2, $3, $4, $5, $6, $7, $8)', [
    path,
    options.data,
    options.contentType,
    options.seq,
    options.close ?? false,
    producer?.id,
    producer?.epoch,
    producer?.seq,
  ]);
  if (!row) throw new Error('nothing was appended');
  if (!row.duplicate) tx.signal(streamSignal(row.stream_id));
  return row;
}

/** Deletes a stream; while forks read from it, what they need is kept. Errors: streams_stream_not_found, streams_stream_gone. */
export async function deleteStream(tx: AnyTransaction, path: string): Promise<void> {
  const { id } = await openStream(tx, path, false);
  await tx.query('select plinth.delete_durable_stream($1)', [path]);
  tx.signal(streamSignal(id));
}

/** The stream of a path; `touch` keeps one with a time to live alive. Errors: streams_stream_not_found, streams_stream_gone. */
export async function openStream(tx: AnyTransaction, path: string, touch: boolean): Promise<OpenStream> {
  const [row] = await tx.query<OpenStream>('select * from plinth_streams.open_stream($1, $2)', [path, touch]);
  if (!row) throw new Error('the stream was not opened');
  return row;
}

/** Messages after a position, oldest first: at most `limit`, and about 4 MiB. */
export const readStreamMessages = (tx: AnyTransaction, id: string, after: string, limit: number): Promise<StreamMessage[]> =>
  tx.query<StreamMessage>('select * from plinth_streams.read_messages($1, $2, $3, 4194304)', [id, after, limit]);
