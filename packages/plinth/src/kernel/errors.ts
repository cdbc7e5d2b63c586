/**
 * The one place where failures become answers. An error is a code, a status, a sentence and a way out (STYLE.md 22);
 * a module lists its own in errors.ts, SQL raises them with SQLSTATE `PL` + status and detail {"code": ...}.
 */
export interface ErrorEntry {
  /** HTTP status. */
  status: number;
  /** One sentence, no full stop needed by the reader to act: it names what is wrong. */
  title: string;
  /** What the reader can do about it. */
  wayOut: string;
}

export type ErrorCatalogue = Record<string, ErrorEntry>;

export interface ErrorDetails {
  message?: string;
  wayOut?: string;
  /** Facts for the caller: never a secret, never another tenant's data. */
  detail?: Record<string, unknown>;
  cause?: unknown;
}

/** A failure that is expected and documented. Everything else is a bug and becomes `kernel_internal`. */
export class PlinthError extends Error {
  readonly code: string;
  readonly status: number;
  readonly wayOut: string;
  readonly detail: Record<string, unknown>;

  constructor(code: string, entry: ErrorEntry, details: ErrorDetails = {}) {
    super(details.message ?? entry.title, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'PlinthError';
    this.code = code;
    this.status = entry.status;
    this.wayOut = details.wayOut ?? entry.wayOut;
    this.detail = details.detail ?? {};
  }

  /** The status once more, under the name by which Nest and others know an error that is an answer. Inherited, so that logs do not show it twice. */
  get statusCode(): number {
    return this.status;
  }

  /** Whether the sentence is for the caller, as errors of http-errors say it: Nest 12 knows them by that, Koa writes it into the answer. */
  get expose(): boolean {
    return this.status < 500;
  }
}

/** Builds a thrower for a module's catalogue: `const fail = raiser('jobs', errors); throw fail('not_found', {...})`. */
export function raiser<C extends ErrorCatalogue>(moduleName: string, catalogue: C) {
  return (name: keyof C & string, details: ErrorDetails = {}): PlinthError => {
    const entry = catalogue[name];
    if (!entry) throw new Error(`no error ${name} in the catalogue of ${moduleName}`);
    return new PlinthError(`${moduleName}_${name}`, entry, details);
  };
}

export const kernelErrors = {
  internal: {
    status: 500,
    title: 'Plinth failed in a way it did not expect',
    wayOut: 'Try again; if it persists, look for the correlation id in the server log.',
  },
  invalid_input: { status: 400, title: 'The input is not valid', wayOut: 'Correct the fields that are named and send it again.' },
  filter_invalid: {
    status: 400,
    title: 'The filter is not valid',
    wayOut: 'Write column:value, -column:value, column:a,b, column:start*, column>number, since:7d or until:2026-01-31, with columns of the list.',
  },
  list_unknown: { status: 404, title: 'There is no such list', wayOut: 'GET /api/v1/lists names all of them.' },
  malformed_body: { status: 400, title: 'The body is not valid JSON', wayOut: 'Send well-formed JSON with content type application/json.' },
  too_deep: { status: 400, title: 'The JSON is nested too deeply', wayOut: 'Send JSON with at most 64 levels.' },
  body_too_large: { status: 413, title: 'The body is too large', wayOut: 'Send less at once; the limit is named in the detail.' },
  unknown_route: { status: 404, title: 'There is no such address', wayOut: 'See /docs for the addresses of the API.' },
  method_not_allowed: { status: 405, title: 'This address does not take this method', wayOut: 'Use one of the methods in the Allow header.' },
  unsupported_media_type: { status: 415, title: 'The body has the wrong content type', wayOut: 'Send JSON with content type application/json.' },
  forbidden_text: {
    status: 400,
    title: 'The request holds a NUL byte, half a surrogate pair or a forbidden key',
    wayOut: 'Leave out NUL bytes (\\u0000), unpaired surrogates (\\ud800 to \\udfff) and the key __proto__; none of them can be stored safely.',
  },
  header_invalid: { status: 400, title: 'A request header is not valid', wayOut: 'Correct the header that is named.' },
  headers_too_large: {
    status: 431,
    title: 'The address and headers of the request are too large',
    wayOut: 'Send at most 32 KiB of them: a shorter address, fewer cookies. What is long belongs into a body.',
  },
  malformed_request: { status: 400, title: 'This is not a well-formed HTTP request', wayOut: 'Send HTTP/1.1 without TLS, which a proxy in front may end.' },
  request_timeout: {
    status: 408,
    title: 'The request did not come in time',
    wayOut: 'Send the headers within 15 seconds, and all of the request within a minute.',
  },
  unauthenticated: { status: 401, title: 'No valid credential was given', wayOut: 'Send Authorization: Bearer with an API key (plk_...) or a JWT.' },
  forbidden: { status: 403, title: 'The credential does not allow this', wayOut: 'Use a credential that has the permission named in the detail.' },
  operator_required: { status: 403, title: 'Only the team that runs Plinth may do this', wayOut: 'Use an operator key.' },
  reason_required: {
    status: 400,
    title: 'Access to tenants needs a reason',
    wayOut: 'Say why in the header X-Plinth-Reason; it is recorded in the audit log of the tenant.',
  },
  tenant_required: {
    status: 400,
    title: 'No tenant was named',
    wayOut:
      "Use a tenant API key, or name the tenant in X-Plinth-Tenant with an operator key; in a program, pass tenantId; in SQL, set local plinth.tenant_id = '<uuid>'.",
  },
  not_found: { status: 404, title: 'There is no such thing', wayOut: 'Check the id and the tenant.' },
  conflict: { status: 409, title: 'It conflicts with what is stored', wayOut: 'Read the current state and try again.' },
  serialization: { status: 409, title: 'Another transaction got there first', wayOut: 'Run the whole transaction again.' },
  caller_gone: { status: 499, title: 'The caller hung up before there was an answer', wayOut: 'Ask again, and wait for as long as was asked for.' },
  timeout: { status: 504, title: 'It took too long and was stopped', wayOut: 'Try again, with a smaller page or a longer limit.' },
  unavailable: { status: 503, title: 'The database cannot be reached', wayOut: 'Try again; plinth doctor tells what is wrong.' },
  read_only: {
    status: 503,
    title: 'The database takes no writes here',
    wayOut: 'Leave out readOnly where something is to be written; where nobody asked for it, the database is a standby: connect to the primary.',
  },
  context_invalid: {
    status: 400,
    title: 'The transaction context is not valid',
    wayOut: 'Pass ids of tenant, correlation and causation that are UUIDs, an actor with a known type and an id, and text without NUL bytes.',
  },
  effect_failed: {
    status: 422,
    title: 'An effect of the transaction could not be written',
    wayOut: 'Correct the effect that is named; the whole transaction was rolled back.',
  },
  effect_invalid: {
    status: 400,
    title: 'An effect holds a value that JSON cannot',
    wayOut: 'Give values that JSON can hold, such as text instead of a BigInt, and no object that holds itself.',
  },
  transaction_ended: {
    status: 500,
    title: 'The transaction has ended',
    wayOut: 'Await everything inside the callback: its transaction serves until the callback has returned.',
  },
  no_partition: {
    status: 422,
    title: 'The id lies outside the open partitions',
    wayOut: 'Use an id made now (uuid v7), or run plinth maintain premake, which makes partitions.',
  },
  files_missing: {
    status: 500,
    title: 'The SQL files of Plinth are not beside its code',
    wayOut:
      "A program that is bundled leaves plinth out of the bundle: external: ['plinth'] for esbuild, [/^plinth/] for Rollup, serverExternalPackages: ['plinth'] for Next.js.",
  },
  schema_newer: {
    status: 503,
    title: 'The database was migrated by a newer, incompatible Plinth',
    wayOut: 'Upgrade this process to the version that migrated the database.',
  },
  streams_full: {
    status: 503,
    title: 'This process holds as many streams as it may',
    wayOut: 'Connect again in a while; a process holds 1,000 unless it was told otherwise.',
  },
  streams_of_tenant: {
    status: 429,
    title: 'The tenant holds as many streams as it may',
    wayOut:
      'Close some, or let several topics share one; a process holds 5,000 realtime connections and 500 other streams of a tenant unless it was told otherwise.',
  },
  topic_invalid: {
    status: 400,
    title: 'This is not a topic',
    wayOut:
      'Ask for topic=events/order.* (a pattern of types), topic=events/%23 (# for all; as it is, it would end the address) or topic=stream/order/4711 (one stream), at most 100 of them.',
  },
  offset_invalid: {
    status: 400,
    title: 'This is not an offset',
    wayOut: 'Send the id of the last frame as it came, or no offset to begin with what happens from now on.',
  },
  rewind_passes: {
    status: 409,
    title: 'The consumer would pass over events that it has not read',
    wayOut: 'Choose an earlier position or moment, or say that events may be passed over: p_forward := true, `forward: true`, --forward.',
  },
  projection_busy: {
    status: 409,
    title: 'The projection is being rebuilt by another process',
    wayOut: 'Wait for it, or cancel it: plinth projections cancel <name>.',
  },
  projection_unknown: { status: 404, title: 'There is no such projection', wayOut: 'Take its name, <module>.<name>, from plinth projections list.' },
  projection_invalid: {
    status: 422,
    title: 'The projection cannot be rebuilt as it is',
    wayOut: 'Correct what the message names; its tables are plain tables, schema.table, that the maintenance connection owns.',
  },
  projection_cancelled: {
    status: 409,
    title: 'The rebuild was cancelled',
    wayOut: 'Start it again when the reason that is named is gone; nothing of it is left.',
  },
  schema_older: {
    status: 503,
    title: 'The database has not been migrated to this version',
    wayOut: 'Run plinth migrate up as the role that owns the database.',
  },
  schema_diverged: {
    status: 409,
    title: 'The database and this Plinth each have migrations that the other does not know',
    wayOut: 'Migrate with a version that knows both.',
  },
  database_unnamed: {
    status: 500,
    title: 'No database was named',
    wayOut: 'Give createPlinth({ database: { url } }) the URL of the role that serves, or a pool of pg; a variable of the environment may not be set.',
  },
  database_hosts: {
    status: 500,
    title: 'The URL of the database names several hosts',
    wayOut: 'Give one host that leads to the primary: a name in DNS, an address that moves along, or a pooler. The driver does not try one after the other.',
  },
  database_unfit: {
    status: 503,
    title: 'Plinth cannot be installed in this database as it is',
    wayOut: 'Change what the message names; plinth doctor looks at everything.',
  },
  module_not_installed: {
    status: 503,
    title: 'The database does not know a module whose effects are to be written',
    wayOut: 'Migrate the database with all modules of the application.',
  },
  module_taken: {
    status: 409,
    title: 'Another module has this name, or Plinth itself',
    wayOut: 'Give the module another name, and name it once.',
  },
  module_invalid: {
    status: 422,
    title: 'The module cannot be used as it is',
    wayOut: 'Correct what the message names on its card.',
  },
  consumer_taken: {
    status: 409,
    title: 'Another consumer or projection has this name',
    wayOut: 'Give the consumer another name: a name is a place in the log, and two that share one would each miss what the other reads.',
  },
  object_in_use: {
    status: 409,
    title: 'Something that has to be dropped and made again is used by objects that are not of Plinth',
    wayOut: 'Drop the objects that are named, run plinth migrate up, and make them again.',
  },
  expose_taken: {
    status: 409,
    title: 'Schema public has objects under names that would be exposed there',
    wayOut: 'Rename them, or leave their names out: --expose-except.',
  },
  migration_changed: {
    status: 500,
    title: 'A migration that was already applied has changed',
    wayOut: 'Restore the file; change the schema with a new migration.',
  },
  tenant_kept: {
    status: 409,
    title: 'What belongs to the tenant may not be erased',
    wayOut: 'Close the tenant (PATCH /api/v1/tenants/{id}, status closed), and release the legal holds on it.',
  },
  partition_kept: { status: 409, title: 'The partition is still needed', wayOut: 'Change the retention policy or release the hold that the message names.' },
  partition_state: {
    status: 409,
    title: 'The partition is not in the state that this step needs',
    wayOut: 'Run retention again; it takes every partition up where it stands.',
  },
  archive_mismatch: {
    status: 409,
    title: 'The archive does not hold what the partition holds',
    wayOut: 'The partition was kept; check the archive storage and run retention again.',
  },
  archive_unreadable: { status: 422, title: 'The archive cannot be read', wayOut: 'Check that the object is there and whole; its manifest has the checksums.' },
  storage_key: {
    status: 422,
    title: 'This is not a storage key',
    wayOut: 'Use lower case letters, digits, dots, dashes and slashes, and no part that begins with a dot.',
  },
} as const satisfies ErrorCatalogue;

export type KernelErrorName = keyof typeof kernelErrors;
export const fail = raiser('kernel', kernelErrors);

/**
 * For handlers and buses: what they need cannot be reached, and no event is to blame. The batch is tried again as it is.
 *
 * @example
 * await fetch(url, { method: 'POST', body }).catch((cause: unknown) => { throw unavailable('The archive cannot be reached', cause); });
 */
export const unavailable = (message: string, cause?: unknown): PlinthError => fail('unavailable', { message, cause });

/** A statement had failed, the caller went on, and PostgreSQL refuses everything but ROLLBACK. */
export const failedBefore = (cause?: unknown): PlinthError =>
  fail('conflict', {
    message: 'The transaction had failed before its end and was rolled back',
    wayOut: 'Let the error of the failed statement reach the end of the transaction.',
    cause,
  });

const closed = (cause: Error): PlinthError =>
  fail('unavailable', { message: 'Plinth has been closed', wayOut: 'Close it when nothing uses it any more: where the process ends.', cause });
const isClosed = (error: unknown): error is Error => error instanceof Error && error.message === 'Cannot use a pool after calling end on the pool';

/** No connection came: whatever the reason (a name that is not found, a certificate, a password that was changed), it is not the caller's, and may pass. */
export const unreachable = (cause: unknown): PlinthError => (isClosed(cause) ? closed(cause) : fail('unavailable', { cause }));

interface DatabaseFault {
  code: string;
  message: string;
  detail?: string | undefined;
  hint?: string | undefined;
  constraint?: string | undefined;
  /** Function of the server that raised it. */
  routine?: string | undefined;
}

const isDatabaseFault = (error: unknown): error is DatabaseFault & Error => error instanceof Error && typeof (error as { code?: unknown }).code === 'string';

/** What pg throws without a code when the connection is gone, or went while a statement was under way. */
export const isLostConnection = (error: unknown): boolean =>
  error instanceof Error && /^(Connection terminated|Client has encountered a connection error|Client was closed and is not queryable)/.test(error.message);

const stateIn = (error: unknown): unknown => (error as { code?: unknown } | null | undefined)?.code;
/** A statement waited for a lock as long as its transaction allows (SQLSTATE 55P03), as it came or as the cause of what says so. */
export const isLockTimeout = (error: unknown): boolean =>
  stateIn(error) === '55P03' || stateIn((error as { cause?: unknown } | null | undefined)?.cause) === '55P03';

/** SQLSTATE -> catalogue. Exact codes first, then classes (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const BY_STATE: Record<string, KernelErrorName> = {
  '23505': 'conflict',
  '23P01': 'conflict',
  '23503': 'conflict',
  '40001': 'serialization',
  '40P01': 'serialization',
  '57014': 'timeout',
  '25P03': 'timeout',
  '25P04': 'timeout',
  '55P03': 'timeout',
  '42501': 'forbidden',
  '57P01': 'unavailable',
  '57P02': 'unavailable',
  '57P03': 'unavailable',
  '57P05': 'unavailable',
  '25006': 'read_only',
  // What runs into temp_file_limit does so each time.
  '53400': 'timeout',
  '58030': 'unavailable',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  ENOENT: 'unavailable',
  ETIMEDOUT: 'unavailable',
  EPIPE: 'unavailable',
};
/** 53: out of disk, memory or connections. 54: a value that is too large for an index or a row. */
const BY_CLASS: Record<string, KernelErrorName> = {
  '22': 'invalid_input',
  '23': 'invalid_input',
  '54': 'invalid_input',
  '08': 'unavailable',
  '53': 'unavailable',
};
/** What a database that was reached is short of: the titles would say something else. */
const SHORT_OF: Record<string, string> = {
  '53100': 'The disk of the database is full',
  '53200': 'The database is out of memory',
  '53300': 'Every connection of the database is taken',
  '53400': 'It needs more than a limit of the database allows, such as temp_file_limit',
  '58030': 'The database could not read or write a file',
};

/** A prepared statement is not there, or is there already. */
const NOT_PREPARED = new Set(['26000', '42P05']);
const notPrepared = (cause: unknown): PlinthError =>
  fail('unavailable', {
    message: 'The prepared statements of this connection are not those that it made',
    wayOut: 'Behind a pooler that hands connections on between transactions, set database.prepare to false or connect by session (docs/environment.md).',
    cause,
  });

/** A table, schema or function that is not there, or the role of a transaction. */
const NOT_THERE = new Set(['42P01', '3F000', '42883', '22023']);
/** Names stand in the message, whatever language the server speaks. */
const isOurs = ({ code, message }: DatabaseFault): boolean =>
  NOT_THERE.has(code) && (code === '22023' ? /\bplinth_(?:app|worker|reader)\b/ : /\bplinth(?:_[a-z0-9]+)?\b/).test(message);
const notInstalled = (cause: Error): PlinthError =>
  fail('schema_older', { message: `Plinth is not installed in this database, or not in this version: ${cause.message}`, cause });

const parseDetail = (text: string | undefined): Record<string, unknown> => {
  if (!text?.startsWith('{')) return {};
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
};

/**
 * Turns whatever was thrown into a PlinthError. Raw constraint details are dropped on purpose: they can hold
 * another tenant's values (research: unique checks bypass row security).
 */
export function toPlinthError(error: unknown): PlinthError {
  if (error instanceof PlinthError) return error;
  if (isLostConnection(error)) return fail('unavailable', { cause: error });
  if (error instanceof Error && error.name === 'TimeoutError') return fail('timeout', { cause: error });
  // The pool's own words for "no connection was free in time"; it gives them no code.
  if (error instanceof Error && /^timeout exceeded when trying to connect|^Connection terminated/.test(error.message))
    return fail('unavailable', { cause: error });
  if (isClosed(error)) return closed(error);
  if (!isDatabaseFault(error)) return fail('internal', { cause: error });
  if (error.code.startsWith('PL')) {
    const { code, ...rest } = parseDetail(error.detail);
    const status = Number.parseInt(error.code.slice(2), 10) || 500;
    return new PlinthError(
      typeof code === 'string' ? code : 'kernel_internal',
      { status, title: error.message, wayOut: error.hint ?? '' },
      { detail: rest, cause: error },
    );
  }
  // By where it was raised: servers speak the language of lc_messages. ORMs hand on the text alone.
  if (error.code === '23514' && (error.routine === 'ExecFindPartition' || /no partition of relation/.test(error.message)))
    return fail('no_partition', { cause: error });
  if (NOT_PREPARED.has(error.code)) return notPrepared(error);
  // Unlogged tables on a standby.
  if (error.code === '0A000' && error.routine === 'get_relation_info') return fail('read_only', { cause: error });
  if (error.code === '25P02') return failedBefore(error);
  if (isOurs(error)) return notInstalled(error);
  const name = BY_STATE[error.code] ?? BY_CLASS[error.code.slice(0, 2)];
  if (!name) return fail('internal', { cause: error });
  const message = SHORT_OF[error.code];
  return fail(name, { ...(message ? { message } : {}), cause: error, detail: error.constraint ? { constraint: error.constraint } : {} });
}

/** RFC 9457 problem details. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  way_out: string;
  correlation_id?: string;
  [extension: string]: unknown;
}

/** The body of every error answer; never holds a stack or a cause. `type` is the page of the code under /docs/errors. */
export function toProblem(error: PlinthError, correlationId?: string): Problem {
  return {
    ...error.detail,
    type: `/docs/errors/${error.code}`,
    title: error.message,
    status: error.status,
    detail: error.wayOut ? `${error.message}. ${error.wayOut}` : error.message,
    code: error.code,
    way_out: error.wayOut,
    ...(correlationId ? { correlation_id: correlationId } : {}),
  };
}
