import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { inCidr, judgeAddress, mayCall, parseAddress, parseCidr } from './egress-addresses.ts';
import { readTarget, rulesOf } from './egress-target.ts';

const bytesOf = (text: string): Uint8Array => {
  const bytes = parseAddress(text);
  if (!bytes) throw new Error(`${text} is not an address`);
  return bytes;
};
const isGlobal = (text: string): boolean => judgeAddress(bytesOf(text)).global;

/** First, an inner and the last address of every special IPv4 block. */
const INSIDE_V4 = `
0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.20.30.40 10.255.255.255 100.64.0.0 100.64.0.1 100.100.100.200 100.127.255.255
127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.254 127.255.255.255 169.254.0.0 169.254.0.1 169.254.169.254 169.254.170.2 169.254.255.255
172.16.0.0 172.16.0.1 172.17.0.1 172.20.10.2 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.171 192.0.0.192 192.0.0.255
192.0.2.0 192.0.2.1 192.0.2.255 192.88.99.0 192.88.99.1 192.88.99.255 192.168.0.0 192.168.0.1 192.168.1.1 192.168.178.1 192.168.255.255
198.18.0.0 198.18.0.1 198.19.255.255 198.51.100.0 198.51.100.7 198.51.100.255 203.0.113.0 203.0.113.9 203.0.113.255 168.63.129.16
224.0.0.0 224.0.0.1 224.0.0.251 239.255.255.250 239.255.255.255 240.0.0.0 240.0.0.1 250.1.2.3 255.255.255.254 255.255.255.255`;
/** The neighbours of those blocks, and well-known public hosts. */
const OUTSIDE_V4 = `
1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255
172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255
198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 168.63.129.15 168.63.129.17 93.184.215.14 140.82.112.3 104.16.132.229`;
const INSIDE_V6 = `
:: ::1 ::2 ::ffff ::ffff:0:0:1 100:: 100::1 100:0:0:1:: 64:ff9b:1:: 64:ff9b:1::1 64:ff9b:1:ffff:ffff:ffff:ffff:ffff
2001:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1::1 2001:1::2 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1 2001:30::1 2001:1ff:ffff::1
2001:db8:: 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002:: 2002:808:808::1 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3ffe::1 3fff::1 3fff:fff:ffff:ffff::1
4000::1 5f00::1 8000::1 c000::1 e000::1 fc00:: fc00::1 fd00::1 fd00:ec2::254 fd12:3456:789a::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
fe00::1 fe80:: fe80::1 fe80::a9fe:a9fe febf:ffff::1 fec0::1 feff::1 ff00::1 ff02::1 ff02::fb ff05::2 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
2606:4700::5efe:a00:1 2606:4700::200:5efe:7f00:1 2a00:1450::200:5efe:808:808 fe80::5efe:7f00:1 2620:4f:8000::1`;
const OUTSIDE_V6 = `
2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2606:4700:4700::1111 2620:4f:7fff::1 2620:4f:8001::1 2620:fe::fe
2a00:1450:4001:80b::200e 2a01:4f8::1 2c0f:f248::1 3ffd::1 3fff:1000::1 64:ff9b::808:808 ::ffff:8.8.8.8 ::ffff:101:101`;

const words = (text: string): string[] => text.trim().split(/\s+/);
const hexPair = (v4: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = v4.split('.').map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
};
const inverted = (v4: string): string =>
  v4
    .split('.')
    .map((part) => 255 - Number(part))
    .join('.');
/** An IPv4 address in the clothes that IPv6 has for it. The last four are refused whatever is inside. */
const DISGUISES: [string, (v4: string) => string][] = [
  ['v4-mapped', (v4) => `::ffff:${v4}`],
  ['v4-mapped, hex', (v4) => `::ffff:${hexPair(v4)}`],
  ['v4-mapped, written out', (v4) => `0:0:0:0:0:ffff:${hexPair(v4)}`],
  ['NAT64', (v4) => `64:ff9b::${hexPair(v4)}`],
  ['NAT64, dotted', (v4) => `64:ff9b::${v4}`],
  ['6to4', (v4) => `2002:${hexPair(v4)}::1`],
  ['v4-compatible', (v4) => `::${v4}`],
  ['ISATAP', (v4) => `2606:4700::5efe:${hexPair(v4)}`],
  ['Teredo', (v4) => `2001:0:4136:e378:8000:63bf:${hexPair(inverted(v4))}`],
];

describe('addresses', () => {
  test.each(words(INSIDE_V4))('%s is refused, plain and in every IPv6 disguise', (v4) => {
    expect(isGlobal(v4)).toBe(false);
    for (const [name, wrap] of DISGUISES) expect(isGlobal(wrap(v4)), `${name} ${wrap(v4)}`).toBe(false);
  });
  test.each(words(OUTSIDE_V4))('%s may be called, also v4-mapped and through NAT64, not through a tunnel', (v4) => {
    expect(isGlobal(v4)).toBe(true);
    for (const [name, wrap] of DISGUISES) expect(isGlobal(wrap(v4)), `${name} ${wrap(v4)}`).toBe(/mapped|NAT64/.test(name));
  });
  test.each(words(INSIDE_V6))('%s is refused', (v6) => expect(isGlobal(v6)).toBe(false));
  test.each(words(OUTSIDE_V6))('%s may be called', (v6) => expect(isGlobal(v6)).toBe(true));
  test('the table holds at least 400 literals', () => {
    const v4 = words(INSIDE_V4).length + words(OUTSIDE_V4).length;
    expect(v4 * (1 + DISGUISES.length) + words(INSIDE_V6).length + words(OUTSIDE_V6).length).toBeGreaterThan(400);
  });
  test('what is not an address, or has a zone, is none', () => {
    for (const text of ['', 'localhost', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '::1%eth0', ':::', '1::2::3', '[::1]', '12345::', '::ffff:1.2.3']) {
      expect(parseAddress(text), text).toBeUndefined();
    }
  });
});

/** The IANA special-purpose registries as number ranges, written independently of the code: first, prefix length, reachable. */
const IANA: [string, number, boolean][] = [
  ['0.0.0.0', 8, false],
  ['10.0.0.0', 8, false],
  ['100.64.0.0', 10, false],
  ['127.0.0.0', 8, false],
  ['169.254.0.0', 16, false],
  ['172.16.0.0', 12, false],
  ['192.0.0.0', 24, false],
  ['192.0.2.0', 24, false],
  ['192.31.196.0', 24, true],
  ['192.52.193.0', 24, true],
  ['192.88.99.0', 24, false],
  ['192.168.0.0', 16, false],
  ['192.175.48.0', 24, true],
  ['198.18.0.0', 15, false],
  ['198.51.100.0', 24, false],
  ['203.0.113.0', 24, false],
  ['224.0.0.0', 4, false],
  ['240.0.0.0', 4, false],
  ['::1', 128, false],
  ['::', 128, false],
  ['64:ff9b:1::', 48, false],
  ['100::', 64, false],
  ['100:0:0:1::', 64, false],
  ['2001::', 23, false],
  ['2001:db8::', 32, false],
  ['2002::', 16, false],
  ['2620:4f:8000::', 48, true],
  ['3fff::', 20, false],
  ['5f00::', 16, false],
  ['fc00::', 7, false],
  ['fe80::', 10, false],
  ['ff00::', 8, false],
];
const numberOf = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
const RANGES = IANA.map(([first, length, reachable]) => {
  const bytes = bytesOf(first);
  const bits = BigInt(bytes.length * 8);
  const from = numberOf(bytes);
  return { size: bytes.length, from, to: from + (1n << (bits - BigInt(length))) - 1n, reachable };
});
const toBytes = (value: bigint, size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * (size - 1 - i))) & 255n));

describe('against the IANA registries', () => {
  const anyAddress = (size: number): fc.Arbitrary<Uint8Array> => {
    const top = (1n << BigInt(size * 8)) - 1n;
    const near = RANGES.filter((range) => range.size === size).flatMap(({ from, to }) => [from, to, (from + to) / 2n]);
    const edges = fc
      .tuple(fc.constantFrom(...near), fc.bigInt(-3n, 3n))
      .map(([edge, step]) => edge + step)
      .filter((value) => value >= 0n && value <= top);
    return fc.oneof(edges, fc.bigInt(0n, top)).map((value) => toBytes(value, size));
  };
  const seed = drawnSeed();

  test(`no address that a registry calls unreachable is ever callable (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.oneof(anyAddress(4), anyAddress(16)), (bytes) => {
        const value = numberOf(bytes);
        const special = RANGES.find((range) => range.size === bytes.length && value >= range.from && value <= range.to && !range.reachable);
        expect(judgeAddress(bytes).global && special !== undefined).toBe(false);
      }),
      { seed, numRuns: drawnRuns(20_000) },
    );
  });
  test(`an IPv4 address outside of every registry row stays callable (seed ${seed})`, () => {
    const azure = 0xa83f8110n;
    fc.assert(
      fc.property(anyAddress(4), (bytes) => {
        const value = numberOf(bytes);
        const listed = value === azure || RANGES.some((range) => range.size === 4 && value >= range.from && value <= range.to);
        expect(listed || judgeAddress(bytes).global).toBe(true);
      }),
      { seed, numRuns: drawnRuns(20_000) },
    );
  });
  test(`v4-mapped and NAT64 say exactly what the IPv4 address inside says (seed ${seed})`, () => {
    fc.assert(
      fc.property(anyAddress(4), fc.constantFrom('::ffff:0:0', '64:ff9b::'), (v4, prefix) => {
        const bytes = bytesOf(prefix);
        bytes.set(v4, 12);
        expect(judgeAddress(bytes).global).toBe(judgeAddress(v4).global);
      }),
      { seed, numRuns: drawnRuns(5000) },
    );
  });
});

describe('ranges of the operator', () => {
  test('open exactly what they say, also for an address in disguise', () => {
    const allowed = [parseCidr('10.1.0.0/16'), parseCidr('fd00:1::/32'), parseCidr('127.0.0.1')];
    const may = (text: string): boolean => mayCall(bytesOf(text), allowed).global;
    for (const text of ['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3', '64:ff9b::10.1.2.3', 'fd00:1::1', '127.0.0.1', '1.1.1.1'])
      expect(may(text), text).toBe(true);
    for (const text of ['10.0.255.255', '10.2.0.0', 'fd00:2::1', '127.0.0.2', '::1', '2002:a01:203::', '::10.1.2.3']) expect(may(text), text).toBe(false);
  });
  test('cover odd prefix lengths bit by bit', () => {
    const range = parseCidr('172.16.0.0/12');
    expect(inCidr(bytesOf('172.31.255.255'), range)).toBe(true);
    expect(inCidr(bytesOf('172.32.0.0'), range)).toBe(false);
    expect(inCidr(bytesOf('9.9.9.9'), parseCidr('0.0.0.0/0'))).toBe(true);
  });
  test.each(['10.0.0.0/33', 'fd00::/129', '10.0.0/8', 'ten', '10.0.0.0/', '10.0.0.0/-1', ''])('"%s" is refused when the process starts', (text) => {
    expect(() => rulesOf({ allowCidrs: [text] })).toThrow(RangeError);
  });
});

describe('addresses as URLs', () => {
  const strict = rulesOf({});
  const open = rulesOf({ allowHttp: true, allowPorts: 'any' });
  const verdict = (url: string, rules = open): string => {
    const target = readTarget(url, rules);
    if ('refused' in target) return 'refused';
    return target.literal ? (mayCall(target.literal, rules.allowCidrs).global ? 'address' : 'inside') : 'name';
  };
  test.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://127.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0x7f000001/',
    'http://017700000001/',
    'http://0177.0.0.1/',
    'http://127.0.0.1./',
    'http://１２７.０.０.１/',
    'http://127。0。0。1/',
    'http://%31%32%37.0.0.1/',
    'http://0/',
    'http://0.0.0.0:8080/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:7f00:1]/',
    'http://[0:0:0:0:0:ffff:127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[::127.0.0.1]/',
    'http://[fe80::1]/',
    'http://169.254.169.254/latest/meta-data/',
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://[fd00:ec2::254]/',
    'http://100.100.100.200/',
    'http://168.63.129.16/',
    'http://192.168.0.1:443/',
  ])('%s is read as the inside address that it is', (url) => expect(verdict(url)).toBe('inside'));
  test.each([
    'http://intranet/',
    'http://metadata/',
    'http://db.local/',
    'http://db.local./',
    'http://vault.internal/',
    'http://metadata.google.internal/',
    'http://metadata.google.internal./computeMetadata/',
    'http://metadata.goog/',
    'http://printer.home.arpa/',
    'http://1.0.0.127.in-addr.arpa/',
    'http://router.lan/',
    'http://box.localdomain/',
    'http://hidden.onion/',
    'http://a..example.com/',
    'http://example.com../',
    'http://-bad.example.com/',
    'http://user@example.com/',
    'http://user:pass@example.com/',
    'http://example.com:0x50/',
    'http://[::1%25eth0]/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://example.com/',
    'javascript:alert(1)',
    'data:text/plain,x',
    '//example.com/',
    '',
    'http://',
    `http://example.com/${'a'.repeat(4096)}`,
    `http://${'a'.repeat(64)}.example.com/`,
  ])('%s is refused before anything is resolved', (url) => expect(verdict(url)).toBe('refused'));
  test.each([
    'https://example.com/',
    'https://EXAMPLE.com./hook?a=1#x',
    'https://hooks.example.com:8443/',
    'https://bücher.example/',
    'https://a_b.example.com/',
  ])('%s goes on to DNS', (url) => expect(verdict(url, strict)).toBe('name'));
  test.each(['http://example.com/', 'https://example.com:22/', 'https://example.com:6379/', 'https://example.com:80/'])(
    '%s needs a policy that says so',
    (url) => {
      expect(verdict(url, strict)).toBe('refused');
      expect(verdict(url)).toBe('name');
    },
  );
  test('the name loses one trailing dot and keeps everything else', () => {
    expect(readTarget('https://Example.com./a?b', strict)).toMatchObject({ host: 'example.com', port: 443, secure: true, literal: undefined });
  });
});
