/**
 * Many readers in a process of their own: bare TCP for both sides, so that what is measured is the servers. Each connection counts the numbers
 * `n` that it is told, which go up by one, and how old each message is by its `t` (ms). Orders come over IPC.
 */
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { createHistogram } from './histogram.ts';

interface Open {
  kind: 'open';
  protocol: 'sse' | 'socket.io';
  ports: number[];
  key: string;
  path: string;
  count: number;
}

interface Client {
  socket: Socket | undefined;
  /** Bytes of the newest id; undefined until there was one. */
  lastId: Buffer | undefined;
  last: number;
  lostAtMs: number;
  waiting: boolean;
  /** Wait before the next attempt, ms; as the server asked, longer after each one that failed. */
  retryMs: number;
}

const clients: Client[] = [];
const ages = createHistogram();
const totals = { received: 0, gaps: 0, repeats: 0, ends: 0, resumed: 0, slowestResumeMs: 0, failures: 0 };
let order: Open | undefined;

const nowMs = (): number => performance.timeOrigin + performance.now();
const N = Buffer.from('"n":');
const T = Buffer.from('"t":');
const END = Buffer.from('\n\n');
const NOTHING = Buffer.alloc(0);
const READ_INTO = Buffer.allocUnsafeSlow(1 << 18);

function numberAfter(bytes: Buffer, mark: Buffer, from: number, to: number): number {
  const at = bytes.indexOf(mark, from);
  if (at < 0 || at >= to) return -1;
  let value = 0;
  for (let index = at + mark.length; index < to; index++) {
    const digit = (bytes[index] ?? 0) - 48;
    if (digit === -16) continue;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return value;
}

function told(client: Client, bytes: Buffer, from: number, to: number, now: number): void {
  const n = numberAfter(bytes, N, from, to);
  if (n < 0) return;
  totals.received++;
  if (client.last >= 0 && n > client.last + 1) totals.gaps++;
  if (n <= client.last) totals.repeats++;
  else client.last = n;
  if (client.lostAtMs > 0) {
    totals.resumed++;
    totals.slowestResumeMs = Math.max(totals.slowestResumeMs, now - client.lostAtMs);
    client.lostAtMs = 0;
  }
  ages.add(now - numberAfter(bytes, T, from, to));
}

/** Into the same bytes each time: what is read is overwritten by the next reader. */
function keepId(client: Client, bytes: Buffer, from: number, to: number): void {
  if (client.lastId?.length !== to - from) client.lastId = Buffer.allocUnsafeSlow(to - from);
  bytes.copy(client.lastId, 0, from, to);
}

/** Frames of Server-Sent Events; returns what is not whole yet. Searches are native and make no strings: what a reader costs, both sides' messages wait for. */
function readSse(client: Client, bytes: Buffer, now: number): Buffer {
  let from = 0;
  for (let end = bytes.indexOf(END, from); end >= 0; end = bytes.indexOf(END, from)) {
    if (bytes[from] === 0x72) client.retryMs = Number(bytes.toString('latin1', from + 7, end));
    if (bytes[from] === 0x69 && bytes[from + 1] === 0x64) keepId(client, bytes, from + 4, bytes.indexOf(10, from));
    told(client, bytes, from, end, now);
    from = end + 2;
  }
  return from === bytes.length ? NOTHING : bytes.subarray(from);
}

/** Messages of a WebSocket, unmasked as servers send them. */
function readSocket(client: Client, bytes: Buffer, now: number): Buffer {
  let from = 0;
  while (bytes.length - from >= 2) {
    let length = (bytes[from + 1] ?? 0) & 127;
    let head = 2;
    if (length === 126) {
      if (bytes.length - from < 4) break;
      length = bytes.readUInt16BE(from + 2);
      head = 4;
    }
    const end = from + head + length;
    if (bytes.length < end) break;
    const body = from + head;
    // engine.io: 0 open, 2 ping, 4 message; socket.io in it: 0 connected, 2 event.
    if (bytes[body] === 0x30) say(client, '40');
    else if (bytes[body] === 0x32) say(client, '3');
    else if (bytes[body + 1] === 0x30) client.waiting = false;
    else told(client, bytes, body, end, now);
    from = end;
  }
  return from === bytes.length ? NOTHING : bytes.subarray(from);
}

/** A short text message, masked with zeros as clients must. */
const say = (client: Client, text: string): void =>
  void client.socket?.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]));

function requestOf({ protocol, path, key }: Open, client: Client): string {
  const more =
    protocol === 'sse'
      ? [`authorization: Bearer ${key}`, ...(client.lastId ? [`last-event-id: ${client.lastId.toString('latin1')}`] : [])]
      : ['upgrade: websocket', 'connection: Upgrade', 'sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='];
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${more.map((line) => `${line}\r\n`).join('')}\r\n`;
}

function begin(client: Client, asked: Open, turn: number): void {
  let rest: Buffer = NOTHING;
  let headed = false;
  const read = (chunk: Buffer): void => {
    const now = nowMs();
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!headed) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) {
        rest = Buffer.from(bytes);
        return;
      }
      if (!/^HTTP\/1.1 (200|101)/.test(bytes.toString('latin1', 0, 20))) totals.failures++;
      headed = true;
      bytes = bytes.subarray(end + 4);
    }
    const left = asked.protocol === 'sse' ? readSse(client, bytes, now) : readSocket(client, bytes, now);
    rest = left.length === 0 ? NOTHING : Buffer.from(left);
    if (asked.protocol === 'sse' && client.lastId) client.waiting = false;
  };
  const socket = connect({
    port: asked.ports[turn % asked.ports.length] ?? 0,
    host: '127.0.0.1',
    noDelay: true,
    // One buffer for all of them, no stream between the kernel and the count: half of what a reader costs, and every message waits for the readers before it.
    onread: {
      buffer: READ_INTO,
      callback(length) {
        read(READ_INTO.subarray(0, length));
        return true;
      },
    },
  });
  client.socket = socket;
  client.waiting = true;
  socket.on('connect', () => socket.write(requestOf(asked, client)));
  socket.on('error', () => {});
  socket.on('close', () => {
    if (order !== asked) return;
    totals.ends++;
    if (client.last >= 0 && client.lostAtMs === 0) client.lostAtMs = nowMs();
    setTimeout(() => order === asked && begin(client, asked, turn + 1), client.retryMs * (0.75 + Math.random() / 2));
    client.retryMs = Math.min(client.retryMs * 1.5, 2_000);
  });
}

async function open(asked: Open): Promise<void> {
  order = asked;
  for (let nth = 0; nth < asked.count; nth++) {
    const client: Client = { socket: undefined, lastId: undefined, last: -1, lostAtMs: 0, waiting: true, retryMs: 500 };
    clients.push(client);
    begin(client, asked, 0);
    if (nth % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  while (clients.some(({ waiting }) => waiting)) await new Promise((resolve) => setTimeout(resolve, 20));
}

process.on('message', async (message: Open | { kind: 'clear' | 'tell' | 'close' }) => {
  if (message.kind === 'open') await open(message);
  else if (message.kind === 'clear') {
    ages.clear();
    Object.assign(totals, { received: 0, gaps: 0, repeats: 0, ends: 0, resumed: 0, slowestResumeMs: 0, failures: 0 });
  } else if (message.kind === 'close') {
    order = undefined;
    for (const { socket } of clients.splice(0)) socket?.destroy();
  }
  const away = clients.filter(({ waiting, lostAtMs }) => waiting || lostAtMs > 0).length;
  const behind = clients.length === 0 ? -1 : Math.min(...clients.map(({ last }) => last));
  process.send?.({ ...totals, away, behind, p50: ages.at(0.5), p99: ages.at(0.99) });
});
process.on('disconnect', () => process.exit());
