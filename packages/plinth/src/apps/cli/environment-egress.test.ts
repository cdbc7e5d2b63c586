/** PLINTH_EGRESS_*: what is understood, what is refused with the way out, and that the guard does what the environment says. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEgress } from '#adapters/http/egress.ts';
import { CERTIFICATE, KEY } from '#adapters/http/egress-certificate.fixture.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { egressOptions, opensMetadata, policyInForce, policyInWords } from './environment-egress.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-egress-'));
});
afterAll(() => rm(folder, { recursive: true }));

const written = async (name: string, text: string): Promise<string> => {
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
};
const policyOf = (env: Record<string, string>, development = false) => policyInForce(readEnvironment(env).egress, development);
const inWords = (env: Record<string, string>, development = false) => policyInWords(policyOf(env, development), readEnvironment(env).egress.authorities.length);

describe('PLINTH_EGRESS_*', () => {
  test.each([
    [{}, false, 'the public internet by https; ports 443, 8443'],
    [{ PLINTH_EGRESS_ALLOW_HTTP: 'true' }, false, 'the public internet by https and http; ports 80, 443, 8443'],
    [
      { PLINTH_EGRESS_ALLOW_CIDRS: '10.20.0.0/16, fd12::/32', PLINTH_EGRESS_ALLOW_NAMES: '.internal', PLINTH_EGRESS_PORTS: '443,9000' },
      false,
      'the public internet by https; ports 443, 9000; also 10.20.0.0/16, fd12::/32; inside names .internal',
    ],
    [{ PLINTH_EGRESS_PORTS: 'any' }, false, 'the public internet by https; any port'],
    [{}, true, 'the public internet by https and http; any port; also 127.0.0.0/8, ::1/128'],
    // What is set for a developer's machine adds to what it may do anyway.
    [
      { PLINTH_EGRESS_ALLOW_CIDRS: '10.0.0.0/8', PLINTH_EGRESS_PORTS: '443' },
      true,
      'the public internet by https and http; any port; also 127.0.0.0/8, ::1/128, 10.0.0.0/8',
    ],
  ])('%j, development %s: %s', (env, development, words) => expect(inWords(env, development)).toBe(words));

  test.each([
    [{ PLINTH_EGRESS_ALLOW_CIDRS: '10.0.0.0/8, office' }, /^PLINTH_EGRESS_ALLOW_CIDRS is "10.0.0.0\/8, office": give ranges such as 10.20.0.0\/16/],
    [{ PLINTH_EGRESS_ALLOW_CIDRS: '10.0.0.0/64' }, /PLINTH_EGRESS_ALLOW_CIDRS/],
    [{ PLINTH_EGRESS_ALLOW_NAMES: '*.internal' }, /^PLINTH_EGRESS_ALLOW_NAMES is "\*\.internal": give names such as crm.internal, or .internal/],
    [{ PLINTH_EGRESS_PORTS: 'https' }, /^PLINTH_EGRESS_PORTS is "https": give ports from 1 to 65535 with commas between, or any/],
    [{ PLINTH_EGRESS_PORTS: '443,any' }, /PLINTH_EGRESS_PORTS/],
    [{ PLINTH_EGRESS_ALLOW_HTTP: 'yes' }, /^PLINTH_EGRESS_ALLOW_HTTP is "yes": give true or false/],
    [{ PLINTH_EGRESS_CA_FILE: '/does/not/exist.pem' }, /^PLINTH_EGRESS_CA_FILE is "\/does\/not\/exist.pem", which cannot be read \(ENOENT\): give a file/],
  ])('%j is refused', (env, sentence) => {
    expect(() => readEnvironment(env)).toThrow(SettingFault);
    expect(() => readEnvironment(env)).toThrow(sentence);
  });

  test('a file without certificates, and one with something that is none, are refused', async () => {
    const [empty, broken] = [await written('key.pem', KEY), await written('broken.pem', `${CERTIFICATE}\n${CERTIFICATE.replace(/MIIB.*\n/, '')}`)];
    expect(() => readEnvironment({ PLINTH_EGRESS_CA_FILE: empty })).toThrow(/which holds no certificate/);
    expect(() => readEnvironment({ PLINTH_EGRESS_CA_FILE: broken })).toThrow(/whose certificate 2 is none/);
  });

  test.each([
    ['169.254.0.0/16', ['169.254.169.254']],
    ['0.0.0.0/0', ['169.254.169.254', '100.100.100.200']],
    ['fd00::/8', ['fd00:ec2::254']],
    ['10.0.0.0/8', []],
  ])('%s opens the metadata services %j', (allowCidrs, opened) => expect(opensMetadata(policyOf({ PLINTH_EGRESS_ALLOW_CIDRS: allowCidrs }))).toEqual(opened));
});

test('an inside receiver with a certificate of a private authority is reached as the environment says, and not without it', async () => {
  const server = createServer({ key: KEY, cert: CERTIFICATE }, (_request, response) => response.end('inside'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const all = {
    PLINTH_EGRESS_ALLOW_CIDRS: '127.0.0.1/32',
    PLINTH_EGRESS_PORTS: String(port),
    PLINTH_EGRESS_CA_FILE: await written('authority.pem', `# ours\n${CERTIFICATE}\n`),
  };
  const call = async (env: Record<string, string>): Promise<string> => {
    const resolve = async () => [{ address: '127.0.0.1', ttlSeconds: 0 }];
    const egress = createEgress({ ...egressOptions(readEnvironment(env).egress, false), resolve });
    try {
      return Buffer.from((await egress.send({ url: `https://hooks.example.com:${port}/` })).body).toString();
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      egress.close();
    }
  };
  try {
    expect(await call(all)).toBe('inside');
    const { PLINTH_EGRESS_CA_FILE: _, ...unknownAuthority } = all;
    expect(await call(unknownAuthority)).toBe('egress_tls');
    for (const name of ['PLINTH_EGRESS_ALLOW_CIDRS', 'PLINTH_EGRESS_PORTS']) expect(await call({ ...all, [name]: '' }), name).toBe('egress_refused');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
