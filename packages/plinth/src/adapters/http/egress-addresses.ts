/**
 * Which IP addresses a server may call on behalf of somebody else. Everything that is not plainly global unicast is refused:
 * the registries of special-purpose addresses (RFC 6890 and its updates, as kept by IANA) and every form of IPv6 address that
 * carries an IPv4 address inside. `net.BlockList` is not enough: it sees through v4-mapped addresses, but not through
 * NAT64, 6to4 or the v4-compatible form.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** 4 or 16 bytes in network order. */
export type AddressBytes = Uint8Array;

/** `range` names the rule, for the operator: never for the tenant. */
export type AddressVerdict = { global: true } | { global: false; range: string };

export interface Cidr {
  bytes: AddressBytes;
  bits: number;
}

const parseV4 = (text: string): AddressBytes => Uint8Array.from(text.split('.'), Number);

const groupsOf = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));

/** Text that `net.isIPv6` accepts: a dotted tail becomes two groups, `::` the zeros that are missing. */
function parseV6(text: string): AddressBytes {
  const dotted = /(?<=:)\d+\.\d+\.\d+\.\d+$/.exec(text)?.[0];
  let plain = text;
  if (dotted) {
    const [a = 0, b = 0, c = 0, d = 0] = parseV4(dotted);
    plain = `${text.slice(0, -dotted.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = plain.split('::');
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0);
  const groups = [...left, ...zeros, ...right];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

/** Bytes of an IP literal, without brackets and without a zone; undefined for anything else. */
export function parseAddress(text: string): AddressBytes | undefined {
  if (isIPv4(text)) return parseV4(text);
  return isIPv6(text) && !text.includes('%') ? parseV6(text) : undefined;
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. Throws RangeError for anything else: a wrong allow-list must not start. */
export function parseCidr(text: string): Cidr {
  const [address = '', length] = text.split('/');
  const bytes = parseAddress(address);
  const bits = length === undefined ? (bytes?.length ?? 0) * 8 : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (!bytes || bits < 0 || bits > bytes.length * 8) throw new RangeError(`${text} is not an address range such as 10.0.0.0/8 or fd00::/8`);
  return { bytes, bits };
}

export function inCidr(address: AddressBytes, range: Cidr): boolean {
  if (address.length !== range.bytes.length) return false;
  const whole = range.bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== range.bytes[i]) return false;
  const rest = range.bits & 7;
  return rest === 0 || ((address[whole] ?? 0) ^ (range.bytes[whole] ?? 0)) >> (8 - rest) === 0;
}

const table = (rows: Record<string, string>): { cidr: Cidr; range: string }[] =>
  Object.entries(rows).map(([cidr, range]) => ({ cidr: parseCidr(cidr), range }));

const V4_REFUSED = table({
  '0.0.0.0/8': 'this network',
  '10.0.0.0/8': 'private',
  '100.64.0.0/10': 'carrier-grade NAT, cloud metadata',
  '127.0.0.0/8': 'loopback',
  '168.63.129.16/32': 'cloud metadata',
  '169.254.0.0/16': 'link-local, cloud metadata',
  '172.16.0.0/12': 'private',
  '192.0.0.0/24': 'IETF protocol assignments',
  '192.0.2.0/24': 'documentation',
  '192.31.196.0/24': 'AS112',
  '192.52.193.0/24': 'AMT',
  '192.88.99.0/24': '6to4 relay',
  '192.168.0.0/16': 'private',
  '192.175.48.0/24': 'AS112',
  '198.18.0.0/15': 'benchmarking',
  '198.51.100.0/24': 'documentation',
  '203.0.113.0/24': 'documentation',
  '224.0.0.0/4': 'multicast',
  '240.0.0.0/4': 'reserved, broadcast',
});

/** Inside 2000::/3; everything outside of it is refused without a table, whatever it will be called one day. */
const V6_REFUSED = table({
  '2001::/32': 'Teredo',
  '2001::/23': 'IETF protocol assignments',
  '2001:db8::/32': 'documentation',
  '2002::/16': '6to4',
  '2620:4f:8000::/48': 'AS112',
  '3ffe::/16': '6bone, withdrawn',
  '3fff::/20': 'documentation',
});
const V6_GLOBAL = parseCidr('2000::/3');
const V4_MAPPED = parseCidr('::ffff:0:0/96');
const NAT64 = parseCidr('64:ff9b::/96');

/**
 * The IPv4 address that will really be called: a v4-mapped address is one, and behind a NAT64 gateway (RFC 6052) every
 * IPv4 host looks like this, so it must stay usable. The other transitional forms are refused as such.
 */
const embeddedV4 = (address: AddressBytes): AddressBytes | undefined =>
  address.length === 16 && (inCidr(address, V4_MAPPED) || inCidr(address, NAT64)) ? address.subarray(12) : undefined;

/** Interface identifier `0000:5efe` or `0200:5efe` (RFC 5214): a tunnel to the IPv4 address in the last 4 bytes, under any prefix. */
const isIsatap = (address: AddressBytes): boolean => ((address[8] ?? 0) & 0xfd) === 0 && address[9] === 0 && address[10] === 0x5e && address[11] === 0xfe;

/** Whether an address is plain global unicast. */
export function judgeAddress(address: AddressBytes): AddressVerdict {
  const v4 = address.length === 4 ? address : embeddedV4(address);
  if (v4) {
    const hit = V4_REFUSED.find(({ cidr }) => inCidr(v4, cidr));
    return hit ? { global: false, range: hit.range } : { global: true };
  }
  if (!inCidr(address, V6_GLOBAL)) return { global: false, range: 'not global unicast' };
  if (isIsatap(address)) return { global: false, range: 'ISATAP' };
  const hit = V6_REFUSED.find(({ cidr }) => inCidr(address, cidr));
  return hit ? { global: false, range: hit.range } : { global: true };
}

/** Global, or inside a range that the operator allows; the IPv4 address inside a v4-mapped or NAT64 one counts as itself. */
export function mayCall(address: AddressBytes, allowed: readonly Cidr[]): AddressVerdict {
  const verdict = judgeAddress(address);
  if (verdict.global) return verdict;
  const real = embeddedV4(address) ?? address;
  return allowed.some((cidr) => inCidr(real, cidr) || inCidr(address, cidr)) ? { global: true } : verdict;
}
