import type { ClientRequestArgs } from 'node:http';
import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { callbackify } from 'node:util';
import type { AddressBytes } from './egress-addresses.ts';
import { mayCall, parseAddress } from './egress-addresses.ts';
import type { EgressErrorName, EgressTimings } from './egress-errors.ts';
import type { Rules, Target } from './egress-target.ts';

/** One way to fail before there is an answer: the name of the error and what the operator may read. */
export class ConnectFault extends Error {
  readonly fault: EgressErrorName;
  constructor(fault: EgressErrorName, message: string, cause?: unknown) {
    super(message, { cause });
    this.fault = fault;
  }
}

/** What a new connection needs to know; it travels with the request's options through the agent. */
export interface ConnectPlan {
  target: Target;
  /** Vetted, in the order in which they are tried. */
  addresses: readonly string[];
  rules: Rules;
  connectTimeoutMs: number;
  ca: readonly string[] | undefined;
  signal: AbortSignal;
  timings: EgressTimings;
}

/** Settles with the first of `ready`, an error, the limit, or the abort; the listeners are gone afterwards. */
function settled(socket: Socket, ready: string, limitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const done = (act: () => void) => (): void => {
      clearTimeout(timer);
      socket.off(ready, onReady);
      socket.off('error', onError);
      socket.off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const onReady = done(resolve);
    const onError = (error: Error): void => done(() => reject(error))();
    const onClose = done(() => reject(new Error('closed by the other side')));
    const onAbort = (): void => done(() => reject(signal.reason))();
    const timer = setTimeout(
      done(() => reject(new Error(`nothing within ${limitMs} ms`))),
      limitMs,
    );
    socket.once(ready, onReady).once('error', onError).once('close', onClose);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

const same = (a: AddressBytes | undefined, b: AddressBytes | undefined): boolean => a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;

/** Where the kernel says the socket ended must be where we sent it, and still be an address that may be called. */
export function checkPeer(socket: Socket, address: string, rules: Rules): void {
  const peer = parseAddress(socket.remoteAddress ?? '');
  const verdict = peer ? mayCall(peer, rules.allowCidrs) : undefined;
  if (!verdict?.global || !same(peer, parseAddress(address))) {
    throw new ConnectFault('refused', `connected to ${socket.remoteAddress ?? 'nobody'} instead of ${address}`);
  }
}

async function openTcp(plan: ConnectPlan): Promise<Socket> {
  const startedAt = performance.now();
  let last: unknown;
  for (const address of plan.addresses) {
    const socket = connect({ host: address, port: plan.target.port, noDelay: true });
    try {
      await settled(socket, 'connect', plan.connectTimeoutMs, plan.signal);
      checkPeer(socket, address, plan.rules);
      return socket;
    } catch (error) {
      socket.destroy();
      if (plan.signal.aborted || error instanceof ConnectFault) throw error;
      last = error;
    } finally {
      plan.timings.connect = performance.now() - startedAt;
    }
  }
  throw new ConnectFault('connect', `${plan.addresses.join(', ')} port ${plan.target.port}: ${String(last)}`, last);
}

async function openTls(plan: ConnectPlan, tcp: Socket): Promise<Socket> {
  const startedAt = performance.now();
  const { host, literal } = plan.target;
  const socket = connectTls({
    socket: tcp,
    ...(literal ? { host } : { servername: host }),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    ...(plan.ca ? { ca: [...plan.ca] } : {}),
  });
  try {
    await settled(socket, 'secureConnect', plan.connectTimeoutMs, plan.signal);
    return socket;
  } catch (error) {
    socket.destroy();
    if (plan.signal.aborted) throw error;
    throw new ConnectFault('tls', `${host}: ${String(error)}`, error);
  } finally {
    plan.timings.tls = performance.now() - startedAt;
  }
}

async function openSocket(plan: ConnectPlan): Promise<Socket> {
  const tcp = await openTcp(plan);
  return plan.target.secure ? openTls(plan, tcp) : tcp;
}

export type PlannedRequest = ClientRequestArgs & { plan: ConnectPlan };

const hasPlan = (options: ClientRequestArgs): options is PlannedRequest => 'plan' in options;

/**
 * Opens sockets itself, so that not one byte of a request is written before the peer was checked, and pinning holds for
 * IP literals too (a custom `lookup` is never called for those). Keeps connections alive by origin; no proxy of the environment.
 */
export class GuardedAgent extends Agent {
  readonly protocol: string;
  readonly defaultPort: number;

  constructor(secure: boolean, keepAlive = true) {
    // 4 s: below the 5 s after which Node's own servers hang up.
    super({ keepAlive, maxFreeSockets: 64, timeout: 4000, scheduling: 'lifo' });
    this.protocol = secure ? 'https:' : 'http:';
    this.defaultPort = secure ? 443 : 80;
  }

  override createConnection(options: ClientRequestArgs, callback?: (error: Error | null, stream: Duplex) => void): Duplex | null | undefined {
    if (!hasPlan(options)) throw new Error('a guarded agent opens only planned connections');
    const { plan } = options;
    callbackify(openSocket)(plan, (error, socket) => callback?.(error, socket));
    return undefined;
  }
}
