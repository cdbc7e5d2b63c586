import { createSocket } from 'node:dgram';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer as createTcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { EgressOptions } from './egress.ts';
import { createEgress, developmentPolicy, dnsResolve, EgressError } from './egress.ts';
import { parseCidr } from './egress-addresses.ts';
import { CERTIFICATE, KEY } from './egress-certificate.fixture.ts';
import { checkPeer } from './egress-socket.ts';
import { rulesOf } from './egress-target.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const egressWith = (options: EgressOptions = {}) => {
  const egress = createEgress({ policy: developmentPolicy, ...options });
  open.push(() => egress.close());
  return egress;
};
const listen = async (server: Server | ReturnType<typeof createTcpServer>, host = '127.0.0.1', port = 0): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  open.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
};
const serve = (listener: RequestListener, host?: string, port?: number): Promise<number> => listen(createServer(listener), host, port);
/** A server that speaks bytes, not HTTP. */
const serveRaw = async (onSocket: (socket: Socket) => void): Promise<number> => {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  const port = await listen(server);
  open.push(() => {
    for (const socket of sockets) socket.destroy();
  });
  return port;
};
const failure = async (sent: Promise<unknown>): Promise<EgressError> => {
  const error = await sent.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof EgressError)) throw new Error(`expected an EgressError, got ${String(error)}`);
  return error;
};
const bodyOf = async (request: IncomingMessage): Promise<Buffer> => Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));

type DnsAnswer = { a?: string[]; aaaa?: string[]; cname?: string; rcode?: number; silent?: boolean };
const encodeName = (name: string): Buffer =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);

/** A DNS server on loopback that answers from a script; TTL 0, so that every call asks again. */
async function dnsServer(answer: (name: string, asked: number) => DnsAnswer) {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += length + 1;
    }
    const type = query.readUInt16BE(at + 1);
    const name = labels.join('.').toLowerCase();
    const says = answer(name, asked.filter((entry) => entry.startsWith(`${type} `)).length);
    asked.push(`${type} ${name}`);
    if (says.silent) return;
    const owner = says.cname ? encodeName(says.cname) : Buffer.from([0xc0, 12]);
    const record = (rrOwner: Buffer, rrType: number, data: Buffer): Buffer =>
      Buffer.concat([rrOwner, Buffer.from([0, rrType, 0, 1, 0, 0, 0, 0, 0, data.length]), data]);
    const addresses =
      type === 1
        ? (says.a ?? []).map((ip) => Buffer.from(ip.split('.').map(Number)))
        : (says.aaaa ?? []).map((hex) => Buffer.from(hex.replaceAll(':', ''), 'hex'));
    const records = [...(says.cname ? [record(Buffer.from([0xc0, 12]), 5, owner)] : []), ...addresses.map((data) => record(owner, type, data))];
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | (says.rcode ?? 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...records]), peer.port, peer.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  open.push(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return { asked, resolve: dnsResolve([`127.0.0.1:${socket.address().port}`]) };
}

describe('an ordinary call', () => {
  test('sends the body byte for byte and answers with status, headers, body and the time of each phase', async () => {
    const sent = Uint8Array.from({ length: 512 }, (_, i) => i % 256);
    const port = await serve(async (request, response) => {
      const got = await bodyOf(request);
      response
        .setHeader('set-cookie', ['a=1', 'b=2'])
        .writeHead(201, { 'x-host': request.headers.host, 'x-length': request.headers['content-length'] })
        .end(got);
    });
    const answer = await egressWith().send({
      url: `http://127.0.0.1:${port}/hook?a=1`,
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: sent,
    });
    expect(answer).toMatchObject({
      status: 201,
      bodyTruncated: false,
      location: undefined,
      headers: { 'x-host': `127.0.0.1:${port}`, 'x-length': '512', 'set-cookie': 'a=1, b=2' },
    });
    expect(Buffer.compare(answer.body, sent)).toBe(0);
    expect(answer.timings).toMatchObject({ dns: 0, tls: 0 });
    expect(answer.timings.total).toBeGreaterThanOrEqual(answer.timings.connect + answer.timings.wait - 1);
  });

  test('keeps the connection for the next call, and replaces one that died meanwhile', async () => {
    const peers: number[] = [];
    let hangUp = false;
    const port = await serve((request, response) => {
      peers.push(request.socket.remotePort ?? 0);
      if (hangUp) request.socket.resetAndDestroy();
      else response.end('ok');
      hangUp = false;
    });
    const egress = egressWith();
    const call = () => egress.send({ url: `http://127.0.0.1:${port}/` });
    await call();
    expect((await call()).timings.connect).toBe(0);
    expect(new Set(peers).size).toBe(1);
    hangUp = true;
    expect((await call()).status).toBe(200);
    hangUp = true;
    expect((await failure(egress.send({ url: `http://127.0.0.1:${port}/`, method: 'POST', body: 'once' }))).code).toBe('egress_connect');
  });

  test('takes nothing for the answer to a call that came before it was asked', async () => {
    let connections = 0;
    const port = await serveRaw((socket) => {
      const mine = ++connections;
      const answer = `HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${mine}`;
      socket.on('data', () => socket.write(mine === 1 ? `${answer}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged` : answer));
    });
    const egress = egressWith();
    for (const expected of ['1', '2', '2']) expect(Buffer.from((await egress.send({ url: `http://127.0.0.1:${port}/` })).body).toString()).toBe(expected);
  });

  test('asks for nothing compressed and never unpacks: a gzip bomb stays small', async () => {
    const bomb = gzipSync(Buffer.alloc(20_000_000));
    const port = await serve((request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'x-asked': request.headers['accept-encoding'] }).end(bomb),
    );
    const answer = await egressWith().send({ url: `http://127.0.0.1:${port}/` });
    expect(answer.headers['x-asked']).toBe('identity');
    expect(Buffer.compare(answer.body, bomb)).toBe(0);
  });

  test('does not look at the proxy settings of the environment', async () => {
    const port = await serve((_request, response) => response.end('direct'));
    const before = { ...process.env };
    Object.assign(process.env, {
      HTTP_PROXY: 'http://127.0.0.1:1',
      http_proxy: 'http://127.0.0.1:1',
      ALL_PROXY: 'http://127.0.0.1:1',
      NODE_USE_ENV_PROXY: '1',
    });
    open.push(() => {
      process.env = before;
    });
    expect(Buffer.from((await egressWith().send({ url: `http://127.0.0.1:${port}/` })).body).toString()).toBe('direct');
  });

  test.each(['Host', 'content-length', 'Transfer-Encoding', 'connection'])('the caller may not set %s', async (name) => {
    const error = await failure(egressWith().send({ url: 'http://127.0.0.1:1/', headers: { [name]: '1' } }));
    expect(error).toMatchObject({ code: 'egress_refused', permanent: true });
  });
  test('a line break in a header is refused, not sent', async () => {
    const port = await serve((_request, response) => response.end());
    expect((await failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, headers: { 'x-a': 'b\r\nx-evil: 1' } }))).code).toBe('egress_refused');
  });
});

describe('inside addresses', () => {
  test('are refused without a connection, with one sentence that does not say why, and the reason for the operator', async () => {
    let reached = 0;
    const port = await serve((_request, response) => {
      reached += 1;
      response.end();
    });
    const egress = egressWith({ policy: { allowHttp: true, allowPorts: 'any' } });
    for (const host of ['127.0.0.1', 'localhost', 'LOCALHOST.', 'a.localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0', 'db.internal']) {
      const error = await failure(egress.send({ url: `http://${host}:${port}/` }));
      expect(error, host).toMatchObject({ code: 'egress_refused', permanent: true, message: 'The address is not one that may be called' });
      expect(JSON.stringify({ ...error, detail: error.detail })).not.toMatch(/127|::1|loopback/);
      expect(error.operatorDetail).not.toBe('');
    }
    expect(reached).toBe(0);
  });

  test('are refused when only one of the answers is inside, whatever its family, and through a chain of names', async () => {
    const dns = await dnsServer((name) => {
      if (name === 'mixed.example.com') return { a: ['93.184.215.14', '10.0.0.7'] };
      if (name === 'family.example.com') return { a: ['93.184.215.14'], aaaa: ['fd000000000000000000000000000001'] };
      return { a: ['169.254.169.254'], cname: 'inside.example.net' };
    });
    const egress = egressWith({ policy: {}, resolve: dns.resolve });
    const reasons = {
      'mixed.example.com': /10\.0\.0\.7: private/,
      'family.example.com': /fd00::1: not global/,
      'chain.example.com': /169\.254\.169\.254: link-local/,
    };
    for (const [host, reason] of Object.entries(reasons)) {
      const error = await failure(egress.send({ url: `https://${host}/` }));
      expect(error.code, host).toBe('egress_refused');
      expect(error.operatorDetail).toMatch(reason);
    }
  });

  test('a name that rebinds between check and connection reaches only what was checked', async () => {
    const hits = { allowed: 0, inside: 0 };
    const port = await serve((_request, response) => {
      hits.allowed += 1;
      response.setHeader('connection', 'close').end('allowed');
    }, '127.0.0.1');
    await serve(
      (_request, response) => {
        hits.inside += 1;
        response.end('inside');
      },
      '127.0.0.2',
      port,
    );
    const dns = await dnsServer((_name, asked) => ({ a: [asked === 0 ? '127.0.0.1' : '127.0.0.2'] }));
    const egress = egressWith({ policy: { allowHttp: true, allowPorts: 'any', allowCidrs: ['127.0.0.1/32'] }, resolve: dns.resolve });
    const url = `http://rebind.example.com:${port}/`;
    expect(Buffer.from((await egress.send({ url })).body).toString()).toBe('allowed');
    expect(dns.asked).toHaveLength(2);
    expect((await failure(egress.send({ url }))).code).toBe('egress_refused');
    expect(hits).toEqual({ allowed: 1, inside: 0 });
  });

  test('a socket that ends somewhere else than it was sent is not used', async () => {
    const port = await serve((_request, response) => response.end());
    const socket = connect({ host: '127.0.0.1', port });
    open.push(() => socket.destroy());
    await new Promise((resolve) => socket.once('connect', resolve));
    const rules = rulesOf(developmentPolicy);
    expect(() => checkPeer(socket, '127.0.0.1', rules)).not.toThrow();
    expect(() => checkPeer(socket, '127.0.0.2', rules)).toThrow(/instead of 127.0.0.2/);
    expect(() => checkPeer(socket, '127.0.0.1', { ...rules, allowCidrs: [parseCidr('10.0.0.0/8')] })).toThrow(/connected to 127.0.0.1/);
  });

  test.each([301, 302, 303, 307, 308])('a %i is an answer with its target, never followed', async (status) => {
    let inside = 0;
    const secret = await serve((_request, response) => {
      inside += 1;
      response.end('secret');
    });
    const port = await serve((_request, response) => response.writeHead(status, { location: `http://127.0.0.1:${secret}/latest/meta-data` }).end());
    const answer = await egressWith().send({ url: `http://127.0.0.1:${port}/` });
    expect(answer).toMatchObject({ status, location: `http://127.0.0.1:${secret}/latest/meta-data` });
    expect(inside).toBe(0);
  });

  test('a name of the inside needs the policy twice: for itself, and for its address', async () => {
    const port = await serve((_request, response) => response.end('inside'));
    const dns = await dnsServer(() => ({ a: ['127.0.0.1'] }));
    const loopback = { allowHttp: true, allowPorts: [port], allowCidrs: ['127.0.0.1'] };
    const to = (host: string, policy: EgressOptions['policy']) => egressWith({ resolve: dns.resolve, policy }).send({ url: `http://${host}:${port}/` });
    expect(await failure(to('crm.internal', loopback))).toMatchObject({
      code: 'egress_refused',
      operatorDetail: 'crm.internal is a name of an inside network',
    });
    expect(await failure(to('crm.internal', { ...loopback, allowCidrs: [], allowNames: ['crm.internal'] }))).toMatchObject({ code: 'egress_refused' });
    for (const allowNames of [['CRM.internal'], ['.internal']]) expect((await to('crm.internal', { ...loopback, allowNames })).status, allowNames[0]).toBe(200);
    expect((await to('crm', { ...loopback, allowNames: ['crm'] })).status).toBe(200);
    for (const allowNames of [['crm.internal'], ['.crm.internal'], ['internal'], ['.xinternal']])
      expect((await failure(to('my.xcrm.internal', { ...loopback, allowNames }))).code, allowNames[0]).toBe('egress_refused');
  });

  test.each([
    { allowCidrs: ['10.0.0.0/33'] },
    { allowNames: ['*.internal'] },
    { allowNames: [''] },
    { allowNames: ['10.0.0.1'] },
    { allowPorts: [0] },
    { allowPorts: [65_536] },
    { allowPorts: [Number.NaN] },
  ])('a policy that says nothing sensible does not start: %j', (policy) => expect(() => createEgress({ policy })).toThrow(RangeError));

  test('check tells without the network what can be told without it', () => {
    const egress = egressWith({ policy: {} });
    expect(egress.check('https://example.com/')).toEqual({ allowed: true });
    expect(egress.check('https://10.0.0.1/')).toEqual({ allowed: false, operatorDetail: '10.0.0.1: private' });
    expect(egress.check('http://example.com/').allowed).toBe(false);
  });
});

describe('names', () => {
  test('the answer of a name is used within its TTL and asked for again after it', async () => {
    const port = await serve((_request, response) => response.end());
    let asked = 0;
    const egress = egressWith({
      resolve: async () => {
        asked += 1;
        return [{ address: '127.0.0.1', ttlSeconds: asked === 1 ? 0 : 60 }];
      },
    });
    for (let i = 0; i < 4; i++) await egress.send({ url: `http://hooks.example.com:${port}/` });
    expect(asked).toBe(2);
  });

  test('no address, a failing server and a silent one are DNS failures, and may be tried again', async () => {
    const dns = await dnsServer((name) => (name.startsWith('none') ? {} : name.startsWith('broken') ? { rcode: 2 } : { silent: true }));
    const egress = egressWith({ resolve: dns.resolve, dnsTimeoutMs: 300 });
    for (const host of ['none.example.com', 'broken.example.com', 'silent.example.com']) {
      expect(await failure(egress.send({ url: `https://${host}/` })), host).toMatchObject({ code: 'egress_dns', permanent: false });
    }
  });

  test('the next address is tried when the first does not answer', async () => {
    const port = await serve((_request, response) => response.end('second'), '127.0.0.2');
    const egress = egressWith({ resolve: async () => ['127.0.0.3', '127.0.0.2'].map((address) => ({ address, ttlSeconds: 0 })) });
    expect((await egress.send({ url: `http://two.example.com:${port}/` })).status).toBe(200);
  });
});

describe('hostile servers', () => {
  test('nobody there', async () => {
    const port = await serveRaw(() => {});
    for (const close of open.splice(0).toReversed()) await close();
    expect(await failure(egressWith().send({ url: `http://127.0.0.1:${port}/` }))).toMatchObject({
      code: 'egress_connect',
      permanent: false,
      message: 'No connection could be made',
    });
  });

  test('a head that drips byte by byte ends at the deadline', async () => {
    const port = await serveRaw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => socket.write('x'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const error = await failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, timeoutMs: 250 }));
    expect(error).toMatchObject({ code: 'egress_timeout', permanent: false, responseStatus: undefined });
    // Each byte came in time: of a limit for silence it would have heard nothing.
    expect(error.timings.total).toBeGreaterThanOrEqual(249);
  });

  test('a body that drips ends at the deadline too, and the status that had come is told', async () => {
    const port = await serve((_request, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    // On a slow machine the head itself may come after the deadline; then there is more time.
    let error: EgressError | undefined;
    for (let timeoutMs = 250; error?.responseStatus === undefined && timeoutMs < 10_000; timeoutMs *= 2) {
      error = await failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, timeoutMs }));
      expect(error.code).toBe('egress_timeout');
    }
    expect(error?.responseStatus).toBe(200);
  });

  test('an endless body is cut at the limit while it streams', async () => {
    let written = 0;
    const chunk = Buffer.alloc(65_536, 'x');
    const port = await serve((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) written += chunk.length;
        written += chunk.length;
      };
      response.on('drain', more);
      more();
    });
    const egress = egressWith();
    const url = `http://127.0.0.1:${port}/`;
    expect(await failure(egress.send({ url }))).toMatchObject({ code: 'egress_body_too_large', responseStatus: 200 });
    const answer = await egress.send({ url, maxBodyBytes: 1000, onLargeBody: 'truncate' });
    expect(answer).toMatchObject({ status: 200, bodyTruncated: true });
    expect(answer.body).toHaveLength(1000);
    expect(written).toBeLessThan(50_000_000);
  });

  test.each([
    ['one long header', `x-flood: ${'a'.repeat(100_000)}\r\n`],
    ['ten thousand headers', Array.from({ length: 10_000 }, (_, i) => `x-${i}: ${i}\r\n`).join('')],
  ])('a flood of headers is refused: %s', async (_name, flood) => {
    const port = await serveRaw((socket) => socket.end(`HTTP/1.1 200 OK\r\n${flood}\r\n`));
    expect((await failure(egressWith().send({ url: `http://127.0.0.1:${port}/` }))).code).toBe('egress_headers_too_large');
  });

  test.each([
    ['not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'],
  ])('%s is a protocol failure', async (_name, answer) => {
    const port = await serveRaw((socket) => socket.write(answer));
    expect((await failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, timeoutMs: 2000 }))).code).toBe('egress_protocol');
  });

  test('a hundred thousand interim answers end at the deadline', async () => {
    const port = await serveRaw((socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100)), 5);
      socket.on('close', () => clearInterval(timer));
    });
    expect((await failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, timeoutMs: 250 }))).code).toBe('egress_timeout');
  });

  test('a body that breaks off is a failure, not a short answer', async () => {
    const port = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'));
    expect(await failure(egressWith().send({ url: `http://127.0.0.1:${port}/` }))).toMatchObject({ code: 'egress_connect', responseStatus: 200 });
  });

  test('the caller can stop a call', async () => {
    const port = await serveRaw(() => {});
    const stop = new AbortController();
    const sent = failure(egressWith().send({ url: `http://127.0.0.1:${port}/`, signal: stop.signal }));
    stop.abort();
    expect((await sent).code).toBe('egress_aborted');
  });
});

describe('TLS', () => {
  const serveTls = (): Promise<number> => listen(createTlsServer({ key: KEY, cert: CERTIFICATE }, (_request, response) => response.end('secure')));
  const toLoopback = { resolve: async () => [{ address: '127.0.0.1', ttlSeconds: 0 }] };

  test('a certificate for the name is accepted, and the phases are timed', async () => {
    const port = await serveTls();
    const answer = await egressWith({ ...toLoopback, ca: [CERTIFICATE] }).send({ url: `https://hooks.example.com:${port}/` });
    expect(Buffer.from(answer.body).toString()).toBe('secure');
    expect(answer.timings.tls).toBeGreaterThan(0);
  });
  test('another name, an unknown authority and plain text behind the port are TLS failures', async () => {
    const port = await serveTls();
    const plain = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
    const known = egressWith({ ...toLoopback, ca: [CERTIFICATE] });
    expect(await failure(known.send({ url: `https://other.example.com:${port}/` }))).toMatchObject({ code: 'egress_tls', permanent: false });
    expect((await failure(known.send({ url: `https://127.0.0.1:${port}/` }))).code).toBe('egress_tls');
    expect((await failure(egressWith(toLoopback).send({ url: `https://hooks.example.com:${port}/` }))).code).toBe('egress_tls');
    expect((await failure(known.send({ url: `https://hooks.example.com:${plain}/` }))).code).toBe('egress_tls');
  });
});
