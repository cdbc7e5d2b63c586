import type { ErrorCatalogue } from '#kernel/errors.ts';
import { PlinthError } from '#kernel/errors.ts';

/** Milliseconds by phase; a phase that was not reached, or was saved by a connection kept alive, is 0. */
export interface EgressTimings {
  dns: number;
  connect: number;
  tls: number;
  /** From the first byte of the request to the head of the answer. */
  wait: number;
  total: number;
}

export const egressErrors = {
  refused: {
    status: 422,
    title: 'The address is not one that may be called',
    wayOut: 'Use a public https address; the operator can allow others in the egress policy.',
  },
  dns: { status: 502, title: 'The name of the host could not be resolved', wayOut: 'Check the name and its DNS records.' },
  connect: { status: 502, title: 'No connection could be made', wayOut: 'Check that the host is up and its port is open to the internet.' },
  tls: {
    status: 502,
    title: 'The TLS handshake failed',
    wayOut: 'Serve a certificate that is valid now, for this name, from a public authority, with its chain.',
  },
  timeout: { status: 504, title: 'The answer did not come in time', wayOut: 'Answer first and do the work afterwards.' },
  protocol: { status: 502, title: 'The answer is not valid HTTP/1.1', wayOut: 'Check the server behind the address.' },
  headers_too_large: { status: 502, title: 'The head of the answer is too large', wayOut: 'Answer with at most 16 KiB of headers.' },
  body_too_large: { status: 502, title: 'The body of the answer is too large', wayOut: 'Answer with a smaller body.' },
  aborted: { status: 499, title: 'The call was stopped by its caller', wayOut: 'Call again.' },
} as const satisfies ErrorCatalogue;

export type EgressErrorName = keyof typeof egressErrors;

export interface EgressFacts {
  /** For operators and logs: may name addresses of the inside. Never shown to a tenant. */
  operatorDetail: string;
  timings: EgressTimings;
  /** HTTP status, where the answer had begun. */
  responseStatus?: number | undefined;
  cause?: unknown;
}

/** Why a call came to nothing. The message is the same for every address, so it tells nobody what our network looks like. */
export class EgressError extends PlinthError {
  /** Calling again will not help until an address or a policy is changed. */
  readonly permanent: boolean;
  readonly timings: EgressTimings;
  readonly responseStatus: number | undefined;
  /** Not enumerable: a log line or an answer that spreads the error does not take it along. */
  declare readonly operatorDetail: string;

  constructor(name: EgressErrorName, facts: EgressFacts) {
    super(`egress_${name}`, egressErrors[name], { cause: facts.cause });
    this.name = 'EgressError';
    this.permanent = name === 'refused';
    this.timings = facts.timings;
    this.responseStatus = facts.responseStatus;
    Object.defineProperty(this, 'operatorDetail', { value: facts.operatorDetail, enumerable: false });
  }
}
