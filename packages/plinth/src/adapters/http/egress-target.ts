import type { AddressBytes, Cidr } from './egress-addresses.ts';
import { parseAddress, parseCidr } from './egress-addresses.ts';

/** What an installation lets its servers call. The default is the public internet over https. */
export interface EgressPolicy {
  /** Default false. */
  allowHttp?: boolean;
  /** Default 443 and 8443; `any` for development. */
  allowPorts?: readonly number[] | 'any';
  /** Address ranges that are not global but may be called, such as `10.20.0.0/16`. Default none. */
  allowCidrs?: readonly string[];
  /**
   * Names of a network inside, which are refused otherwise whatever their addresses are: `crm.internal`, or `.svc.cluster.local` for every name below. Their
   * addresses must be in `allowCidrs` or global all the same. Default none.
   */
  allowNames?: readonly string[];
}

/** For a developer's machine: the public internet and this machine, any port, plain http too. */
export const developmentPolicy: EgressPolicy = { allowHttp: true, allowPorts: 'any', allowCidrs: ['127.0.0.0/8', '::1/128'] };

export interface Rules {
  allowHttp: boolean;
  allowPorts: ReadonlySet<number> | 'any';
  allowCidrs: readonly Cidr[];
  allowNames: readonly string[];
}

export const DEFAULT_PORTS: readonly number[] = [443, 8443];
const ALLOWED_NAME = /^(?=.{1,253}$)\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

const portOf = (port: number): number => {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`${port} is not a port from 1 to 65535`);
  return port;
};

function nameOf(text: string): string {
  const name = text.toLowerCase();
  if (!ALLOWED_NAME.test(name) || parseAddress(name)) throw new RangeError(`${text} is not a name such as crm.internal, or .internal for all names below`);
  return name;
}

/** Throws RangeError for a policy that says nothing sensible: a wrong allow-list must not start. */
export function rulesOf(policy: EgressPolicy): Rules {
  const ports = policy.allowPorts ?? DEFAULT_PORTS;
  return {
    allowHttp: policy.allowHttp ?? false,
    allowPorts: ports === 'any' ? ports : new Set(ports.map(portOf)),
    allowCidrs: (policy.allowCidrs ?? []).map(parseCidr),
    allowNames: (policy.allowNames ?? []).map(nameOf),
  };
}

export interface Target {
  /** Scheme, host and port: what connections are kept by. */
  origin: string;
  /** For the header `host`. */
  authority: string;
  /** Path and query. */
  path: string;
  /** Name without its trailing dot, or an IP literal without brackets. */
  host: string;
  port: number;
  secure: boolean;
  /** Set when the host is a literal: there is nothing to resolve. */
  literal: AddressBytes | undefined;
}

const LONGEST_URL = 4096;
/** Names that mean something only inside somebody's network. `localhost` is not here: it is loopback, and the address rule knows loopback. */
const INSIDE_SUFFIXES = ['.local', '.internal', '.localdomain', '.arpa', '.lan', '.home', '.corp', '.intranet', '.private', '.onion'];
const METADATA_NAMES = new Set(['metadata.goog', 'metadata.tencentyun.com', 'metadata.platformequinix.com', 'metadata.packet.net']);
const NAME = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$/;

const isLocalhost = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost');

const isAllowedName = (host: string, names: readonly string[]): boolean => names.some((name) => (name.startsWith('.') ? host.endsWith(name) : host === name));

function hostFault(host: string, names: readonly string[]): string | undefined {
  if (isLocalhost(host) || isAllowedName(host, names)) return undefined;
  if (!host.includes('.')) return `${host} is a single label`;
  if (INSIDE_SUFFIXES.some((suffix) => host.endsWith(suffix))) return `${host} is a name of an inside network`;
  if (METADATA_NAMES.has(host)) return `${host} is a metadata service`;
  return NAME.test(host) ? undefined : `${host} is not a host name`;
}

/**
 * Reads an address the way the connection will read it: by the WHATWG parser, which turns `0x7f.1`, `2130706433` and full-width
 * digits into 127.0.0.1 before any rule looks. Answers with the reason of a refusal, for the operator.
 */
export function readTarget(text: string, rules: Rules): Target | { refused: string } {
  if (text.length > LONGEST_URL) return { refused: `the URL is longer than ${LONGEST_URL} characters` };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) return { refused: 'not a URL' };
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && rules.allowHttp)) return { refused: `scheme ${url.protocol} is not allowed` };
  if (url.username || url.password) return { refused: 'the URL carries a user name or password' };
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const portAllowed = rules.allowPorts === 'any' || rules.allowPorts.has(port) || (rules.allowHttp && port === 80);
  if (!portAllowed) return { refused: `port ${port} is not allowed` };
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const literal = parseAddress(host);
  const fault = literal ? undefined : hostFault(host, rules.allowNames);
  return fault ? { refused: fault } : { origin: url.origin, authority: url.host, path: `${url.pathname}${url.search}`, host, port, secure, literal };
}
