import { fail } from '#kernel/errors.ts';
import { readCorrelationId } from '#kernel/ids.ts';

/** What is known of a request before anybody looks at its address. */
export interface Traffic {
  /** UUID; from X-Correlation-Id, else the trace id of traceparent, else new. */
  correlationId: string;
  requestId: string;
  ip: string | undefined;
  userAgent: string | undefined;
  /** Set when the answer is a stored one. */
  replayed: boolean;
  /** From here on /realtime tells what is not in the answer. */
  offset?: string | undefined;
  /** What that offset stands for. */
  snapshot?: string | undefined;
}

const REQUEST_ID = /^[\w.:/+=-]{1,128}$/;
/** W3C Trace Context, version 00; later versions start with the same fields. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;

/** The trace id of a traceparent as a UUID; undefined when it is not valid, which the standard says to ignore. */
export const traceIdOf = (traceparent: string | null): string | undefined => {
  const [, id] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  return id && readCorrelationId(id);
};

/** Text of a header that goes into logs and records; a NUL byte or an endless one does not get in. */
const bounded = (text: string | null): string | undefined => text?.slice(0, 500) || undefined;

export interface Peer {
  /** Address of the other end of the connection. */
  ip?: string | undefined;
}

export function readTraffic(request: Request, peer: Peer, trustProxy: boolean, newId: () => string): { traffic: Traffic; fault: Error | undefined } {
  const given = request.headers.get('x-correlation-id');
  const correlationId = given === null ? traceIdOf(request.headers.get('traceparent')) : readCorrelationId(given.trim());
  const requestId = request.headers.get('x-request-id');
  // The last address is the one that the trusted proxy saw; those before it are what the caller said.
  const forwarded = trustProxy ? request.headers.get('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined;
  return {
    traffic: {
      correlationId: correlationId ?? newId(),
      requestId: requestId && REQUEST_ID.test(requestId) ? requestId : newId(),
      ip: bounded(forwarded ?? peer.ip ?? null),
      userAgent: bounded(request.headers.get('user-agent')),
      replayed: false,
    },
    fault:
      given !== null && !correlationId
        ? fail('header_invalid', {
            message: 'X-Correlation-Id is not a UUID',
            wayOut: 'Send a UUID or 32 hexadecimal digits, or leave the header out.',
            detail: { header: 'X-Correlation-Id' },
          })
        : undefined,
  };
}
