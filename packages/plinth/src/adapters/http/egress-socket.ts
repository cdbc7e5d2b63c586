import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
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

/** What a new connection needs to know. */
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

/** Opens sockets itself, so that not one byte of a request is written before the peer was checked, for names and IP literals alike; no proxy of the environment. */
export async function openSocket(plan: ConnectPlan): Promise<Socket> {
  const tcp = await openTcp(plan);
  return plan.target.secure ? openTls(plan, tcp) : tcp;
}
