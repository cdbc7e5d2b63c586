/**
 * The one way out: every HTTP call that the product makes to an address somebody gave it (webhooks, chat notifiers, identity
 * providers, avatars) goes through here. It reads the address as the connection will, resolves the name itself, refuses
 * when any answer is not global, connects only to what it vetted, follows no redirect, and bounds time, head and body.
 */
import { LRUCache } from 'lru-cache';
import type { AddressVerdict } from './egress-addresses.ts';
import { mayCall, parseAddress } from './egress-addresses.ts';
import type { Answer, Connection, Message } from './egress-connection.ts';
import { AnswerFault, Connections, StaleConnection } from './egress-connection.ts';
import type { EgressErrorName, EgressTimings } from './egress-errors.ts';
import { EgressError } from './egress-errors.ts';
import type { CachedResolve, Resolve } from './egress-names.ts';
import { cachedResolve, dnsResolve } from './egress-names.ts';
import type { ConnectPlan } from './egress-socket.ts';
import { ConnectFault, openSocket } from './egress-socket.ts';
import type { EgressPolicy, Rules, Target } from './egress-target.ts';
import { readTarget, rulesOf } from './egress-target.ts';

export type { EgressTimings } from './egress-errors.ts';
export { EgressError } from './egress-errors.ts';
export { dnsResolve } from './egress-names.ts';
export type { EgressPolicy } from './egress-target.ts';
export { developmentPolicy } from './egress-target.ts';

export interface EgressRequest {
  url: string;
  /** Default GET. */
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array | string;
  /** For everything from the first DNS question to the last byte. Default 15,000. */
  timeoutMs?: number;
  /** Default 65,536. */
  maxBodyBytes?: number;
  /** What to do with a longer body: fail with `egress_body_too_large` (default), or keep the beginning and hang up. */
  onLargeBody?: 'fail' | 'truncate';
  signal?: AbortSignal;
  /**
   * The other side recognises a repetition, so the call may be sent again when a connection that was kept alive turns out to be
   * dead before a byte of the answer. Default: true for GET, HEAD, PUT, DELETE and OPTIONS.
   */
  idempotent?: boolean;
}

export interface EgressResponse {
  status: number;
  /** Names in lower case; repeated headers joined with `, `. */
  headers: Record<string, string>;
  /** Target of a redirect, never followed. */
  location: string | undefined;
  /** As it came: nothing is decompressed. */
  body: Uint8Array;
  bodyTruncated: boolean;
  timings: EgressTimings;
}

export interface EgressOptions {
  policy?: EgressPolicy;
  /** Default: DNS with the servers of the machine. Answers are kept for their TTL, at most 30 s. */
  resolve?: Resolve;
  /** PEM certificates of private authorities, instead of the public ones. */
  ca?: readonly string[];
  /** Default 2,000. */
  dnsTimeoutMs?: number;
  /** For one address, and again for the handshake. Default 5,000. */
  connectTimeoutMs?: number;
}

export interface Egress {
  /** One call. Errors: EgressError (`egress_refused`, `egress_dns`, `egress_timeout`, ...); a 3xx, 4xx or 5xx is an answer, not an error. */
  send(request: EgressRequest): Promise<EgressResponse>;
  /** Whether the address could be called as far as can be told without the network; the reason is for operators. */
  check(url: string): { allowed: true } | { allowed: false; operatorDetail: string };
  /** Hangs up every connection. */
  close(): void;
}

const MAX_BODY_BYTES = 65_536;
const MOST_ADDRESSES = 4;
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What frames the message is written here only, so that a caller cannot smuggle a second request. */
const OWN_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'proxy-authorization',
  'proxy-connection',
  'keep-alive',
]);

/**
 * A call under way: its limits, its clock, and how a failure of it looks. One controller and one timer, because AbortSignal.timeout and
 * AbortSignal.any cost more than the exchange of a short message.
 */
class Call {
  readonly timings: EgressTimings = { dns: 0, connect: 0, tls: 0, wait: 0, total: 0 };
  responseStatus: number | undefined;
  readonly #startedAt = performance.now();
  readonly #controller = new AbortController();
  readonly #stopped: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  #late = false;

  constructor(request: EgressRequest) {
    const { timeoutMs = 15_000, signal } = request;
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#controller.abort(new Error(`not within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#stopped = signal;
    if (signal?.aborted) this.#stop();
    else signal?.addEventListener('abort', this.#stop, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly #stop = (): void => this.#controller.abort(this.#stopped?.reason);

  end(): void {
    clearTimeout(this.#timer);
    this.#stopped?.removeEventListener('abort', this.#stop);
  }

  elapsed(): EgressTimings {
    const round = (ms: number): number => Math.round(ms * 10) / 10;
    const { dns, connect, tls, wait } = this.timings;
    return { dns: round(dns), connect: round(connect), tls: round(tls), wait: round(wait), total: round(performance.now() - this.#startedAt) };
  }

  fail(name: EgressErrorName, operatorDetail: string, cause?: unknown): EgressError {
    return new EgressError(name, { operatorDetail, timings: this.elapsed(), responseStatus: this.responseStatus, cause });
  }

  failure(error: unknown): EgressError {
    if (error instanceof EgressError) return error;
    if (this.#late) return this.fail('timeout', `no complete answer in time: ${String(error)}`, error);
    if (this.signal.aborted) return this.fail('aborted', String(error), error);
    if (error instanceof ConnectFault || error instanceof AnswerFault) return this.fail(error.fault, error.message, error.cause);
    return this.fail('connect', String(error), error);
  }
}

/**
 * What the rules say of a URL and of an address depends on nothing else, so it is kept for those that are called again and again: reading both
 * anew cost a short call a tenth of its time. Which addresses a name has is asked elsewhere, every time.
 */
class Judge {
  readonly #rules: Rules;
  readonly #targets = new LRUCache<string, Target>({ max: 1000 });
  readonly #verdicts = new LRUCache<string, AddressVerdict>({ max: 2000 });

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  target(url: string): Target | { refused: string } {
    const known = this.#targets.get(url);
    if (known) return known;
    const target = readTarget(url, this.#rules);
    if (!('refused' in target)) this.#targets.set(url, target);
    return target;
  }

  address(text: string): AddressVerdict {
    const known = this.#verdicts.get(text);
    if (known) return known;
    const bytes = parseAddress(text);
    const verdict: AddressVerdict = bytes ? mayCall(bytes, this.#rules.allowCidrs) : { global: false, range: 'not an address' };
    this.#verdicts.set(text, verdict);
    return verdict;
  }
}

/** The addresses that may be called; throws when any of them may not: a name with one foot inside is an attack or a mistake. */
async function vettedAddresses(call: Call, target: Target, judge: Judge, resolve: CachedResolve, dnsTimeoutMs: number): Promise<string[]> {
  const vet = (addresses: readonly string[]): string[] => {
    for (const text of addresses) {
      const verdict = judge.address(text);
      if (!verdict.global) throw call.fail('refused', `${target.host} is ${text}: ${verdict.range}`);
    }
    return addresses.slice(0, MOST_ADDRESSES);
  };
  if (target.literal) return vet([target.host]);
  const known = resolve.known(target.host);
  if (known) return vet(known.map(({ address }) => address));
  const startedAt = performance.now();
  const budget = AbortSignal.timeout(dnsTimeoutMs);
  const signal = AbortSignal.any([call.signal, budget]);
  const stopped = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  stopped.catch(() => {});
  try {
    const answers = await Promise.race([resolve.ask(target.host, signal), stopped]);
    const addresses = answers.map((answer) => answer.address);
    if (addresses.length === 0) throw call.fail('dns', `${target.host} has no address`);
    return vet(addresses);
  } catch (error) {
    if (error instanceof EgressError || call.signal.aborted) throw error;
    throw call.fail('dns', `${target.host}: ${String(error)}`, error);
  } finally {
    call.timings.dns = performance.now() - startedAt;
  }
}

/** Sends the request and reads the answer. */
async function roundTrip(call: Call, connection: Connection, message: Message, mostBytes: number): Promise<Answer> {
  const stop = (): void => connection.destroy(call.signal.reason as Error);
  // Between the connection and this.
  if (call.signal.aborted) stop();
  call.signal.throwIfAborted();
  call.signal.addEventListener('abort', stop, { once: true });
  const writtenAt = performance.now();
  try {
    return await connection.exchange(message, mostBytes, (status) => {
      call.timings.wait = performance.now() - writtenAt;
      call.responseStatus = status;
    });
  } finally {
    call.signal.removeEventListener('abort', stop);
  }
}

/** A request. What frames it is left to the client, and nothing that a caller gives can end a line. */
function messageOf(call: Call, target: Target, request: EgressRequest): Message {
  const { method = 'GET', body } = request;
  const headers: Record<string, string> = { host: target.authority, 'user-agent': 'Plinth', accept: '*/*', 'accept-encoding': 'identity' };
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    const lower = name.toLowerCase();
    if (OWN_HEADERS.has(lower)) throw call.fail('refused', `header ${lower} is not the caller's to set`);
    if (!TOKEN.test(lower) || !VALUE.test(value)) throw call.fail('refused', `header ${JSON.stringify(lower)} cannot be sent`);
    headers[lower] = value;
  }
  if (!TOKEN.test(method)) throw call.fail('refused', `method ${JSON.stringify(method)} cannot be sent`);
  return { method, path: target.path, headers, body };
}

/** The guard with its policy, resolver and connections. One for the whole process; close it at the end. */
export function createEgress(options: EgressOptions = {}): Egress {
  const rules = rulesOf(options.policy ?? {});
  const judge = new Judge(rules);
  const resolve = cachedResolve(options.resolve ?? dnsResolve());
  const connections = new Connections();

  async function attempt(call: Call, request: EgressRequest): Promise<EgressResponse> {
    const target = judge.target(request.url);
    if ('refused' in target) throw call.fail('refused', target.refused);
    const message = messageOf(call, target, request);
    const addresses = await vettedAddresses(call, target, judge, resolve, options.dnsTimeoutMs ?? 2000);
    const plan: ConnectPlan = {
      target,
      addresses,
      rules,
      connectTimeoutMs: options.connectTimeoutMs ?? 5000,
      ca: options.ca,
      signal: call.signal,
      timings: call.timings,
    };
    const { origin } = target;
    const mostBytes = request.maxBodyBytes ?? MAX_BODY_BYTES;
    const again = request.idempotent ?? IDEMPOTENT.has(request.method ?? 'GET');
    let connection = connections.take(origin) ?? connections.add(origin, await openSocket(plan));
    const answer = await roundTrip(call, connection, message, mostBytes).catch(async (error: unknown) => {
      if (!(error instanceof StaleConnection && again)) throw error;
      connection = connections.add(origin, await openSocket(plan));
      return roundTrip(call, connection, message, mostBytes);
    });
    connections.give(origin, connection);
    if (answer.bodyTruncated && request.onLargeBody !== 'truncate') throw call.fail('body_too_large', `more than ${mostBytes} bytes`);
    return { ...answer, location: answer.headers.location, timings: call.elapsed() };
  }

  return {
    async send(request) {
      const call = new Call(request);
      try {
        return await attempt(call, request);
      } catch (error) {
        throw call.failure(error);
      } finally {
        call.end();
      }
    },
    check(url) {
      const target = judge.target(url);
      if ('refused' in target) return { allowed: false, operatorDetail: target.refused };
      const verdict = target.literal ? judge.address(target.host) : ({ global: true } as const);
      return verdict.global ? { allowed: true } : { allowed: false, operatorDetail: `${target.host}: ${verdict.range}` };
    },
    close() {
      connections.close();
    },
  };
}
