export interface Issue {
  /** Name of the field of the input. */
  field: string;
  message: string;
}

/** A failure as the API tells it (RFC 9457): a sentence, a way out and the correlation id of the failed call. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly wayOut: string;
  readonly correlationId: string | undefined;
  /** A write whose fate is open; one that was refused left nothing, and a read writes nothing. */
  readonly mayHaveWritten: boolean;
  /** What is wrong with single fields of the input. */
  readonly issues: readonly Issue[];

  constructor(told: {
    title: string;
    status: number;
    code: string;
    wayOut: string;
    correlationId?: string | undefined;
    mayHaveWritten?: boolean;
    issues?: readonly Issue[];
  }) {
    super(told.title);
    this.name = 'Problem';
    this.status = told.status;
    this.code = told.code;
    this.wayOut = told.wayOut;
    this.correlationId = told.correlationId;
    this.mayHaveWritten = told.mayHaveWritten ?? false;
    this.issues = told.issues ?? [];
  }
}

const isIssue = (value: unknown): value is Issue => {
  const { field, message } = (value ?? {}) as Record<string, unknown>;
  return typeof field === 'string' && typeof message === 'string';
};

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Reads problem+json, or the same inside tRPC's error envelope; anything else still becomes a sentence with a way out. */
export function problemOf(status: number, body: unknown, headerId: string | null, isRead = true): Problem {
  const outer = (body ?? {}) as { error?: { data?: { problem?: unknown } } };
  const told = (outer.error?.data?.problem ?? outer) as Record<string, unknown>;
  return new Problem({
    status,
    title: text(told.title) ?? `The server answered ${status} and did not say why`,
    code: text(told.code) ?? 'unknown',
    wayOut: text(told.way_out) ?? 'Try again; if it persists, look at the log of the server.',
    correlationId: text(told.correlation_id) ?? headerId ?? undefined,
    mayHaveWritten: !isRead && status >= 500,
    issues: Array.isArray(told.issues) ? told.issues.filter(isIssue) : [],
  });
}

/** What was thrown, as a Problem: network faults and time-outs get their own sentence. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new Problem({ title: 'The server did not answer in 15 seconds', status: 0, code: 'timeout', wayOut: 'Try again, or ask for less at once.' });
  }
  if (error instanceof TypeError) {
    return new Problem({ title: 'The server cannot be reached', status: 0, code: 'unreachable', wayOut: 'Check that Plinth is running, then try again.' });
  }
  return new Problem({ title: error instanceof Error ? error.message : String(error), status: 0, code: 'console', wayOut: 'Reload the page.' });
}

/** True when nobody answered, or only the proxy in front: what is on screen may be old then, and is worth asking for again. */
export const isAway = (error: unknown): boolean => {
  if (!error) return false;
  const { code, status } = asProblem(error);
  return code === 'unreachable' || status === 502 || status === 503;
};
