import type { EgressErrorName } from './egress-errors.ts';

/** What an answer did wrong: the name of the error and what the operator may read. */
export class AnswerFault extends Error {
  readonly fault: EgressErrorName;
  constructor(fault: EgressErrorName, message: string) {
    super(message);
    this.fault = fault;
  }
}

interface AnswerHead {
  status: number;
  /** Names in lower case; repeated headers joined with `, `, but of those that mean something only once the first. */
  headers: Record<string, string>;
  /** How long the connection may wait for another request, ms; 0 when it may not. */
  keepMs: number;
}

interface AnswerLimits {
  headBytes: number;
  bodyBytes: number;
  /** Longest time a connection is kept, ms. */
  keepMs: number;
}

const CR = 13;
const LF = 10;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const LONGEST_CHUNK_LINE = 256;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const CONTROL = /[^\t\x20-\x7e\x80-\xff]/;
const ONCE = new Set(['age', 'content-length', 'content-type', 'date', 'etag', 'expires', 'last-modified', 'location', 'retry-after', 'server']);

const wrong = (message: string): AnswerFault => new AnswerFault('protocol', message);

/** The fields of a head (RFC 9112, 5): no space before the colon, folded lines joined. */
function fieldsOf(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  let last = '';
  for (const line of lines) {
    if (CONTROL.test(line)) throw wrong('a control character in a header');
    if (last !== '' && (line.startsWith(' ') || line.startsWith('\t'))) {
      fields.set(last, `${fields.get(last)} ${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    if (!TOKEN.test(name)) throw wrong('a header without a name');
    const value = line.slice(colon + 1).trim();
    const before = fields.get(name);
    if (before !== undefined && name === 'content-length') throw wrong('two lengths');
    if (before === undefined) fields.set(name, value);
    else if (!ONCE.has(name)) fields.set(name, `${before}, ${value}`);
    last = name;
  }
  return fields;
}

/** Below the time that the other side names, so that it does not hang up on a request that is under way. */
function keepMsOf(version: string, fields: Map<string, string>, longestMs: number): number {
  const connection = fields.get('connection')?.toLowerCase() ?? '';
  if (version === '0' || /(?:^|,)\s*close\s*(?:,|$)/.test(connection)) return 0;
  const named = /(?:^|[,;\s])timeout=(\d{1,9})/i.exec(fields.get('keep-alive') ?? '')?.[1];
  return named === undefined ? longestMs : Math.max(0, Math.min(longestMs, Number(named) * 1000 - 1000));
}

/**
 * Reads one answer of HTTP/1.1 (RFC 9112) as it comes, and nothing that is not one: anything unclear about where it ends is a fault, and the
 * connection of a fault is not used again. Written by hand because node:http spends more on a request than signing, sending and logging it together.
 */
export class AnswerReader {
  head: AnswerHead | undefined;
  /** The body so far is longer than it may be; what was read of it ends at the limit. */
  tooLong = false;
  /** Bytes came behind the end of the answer. */
  overrun = false;
  readonly #limits: AnswerLimits;
  readonly #withoutBody: boolean;
  readonly #parts: Uint8Array[] = [];
  #waiting: Buffer | undefined;
  #size = 0;
  /** What is next: the head, a body of so many bytes, one that ends with the connection, or a piece of one in chunks. */
  #state: 'head' | 'length' | 'close' | 'chunk size' | 'chunk' | 'chunk end' | 'trailer' | 'done' = 'head';
  #left = 0;
  #trailerBytes = 0;

  constructor(method: string, limits: AnswerLimits) {
    this.#withoutBody = method === 'HEAD';
    this.#limits = limits;
  }

  get begun(): boolean {
    return this.#waiting !== undefined || this.head !== undefined || this.#state !== 'head';
  }

  get body(): Uint8Array {
    return this.#parts.length === 1 && this.#parts[0] ? this.#parts[0] : Buffer.concat(this.#parts);
  }

  /** Takes what came. True: the answer is complete, or longer than it may be. Errors: AnswerFault. */
  take(bytes: Buffer): boolean {
    let rest = this.#waiting ? Buffer.concat([this.#waiting, bytes]) : bytes;
    const known = this.#waiting?.length ?? 0;
    this.#waiting = undefined;
    for (let from = known; rest.length > 0 && this.#state !== 'done' && !this.tooLong; from = 0) {
      const used = this.#step(rest, from);
      if (used < 0) {
        this.#waiting = rest;
        return false;
      }
      rest = rest.subarray(used);
    }
    this.overrun = rest.length > 0;
    return this.#state === 'done' || this.tooLong;
  }

  /** The other side has hung up. True: that was the end of the answer. */
  end(): boolean {
    if (this.#state === 'close') this.#state = 'done';
    return this.#state === 'done';
  }

  /** Reads from the beginning of `bytes`, of which `from` were there before. Returns how many it used; -1 when it needs more. */
  #step(bytes: Buffer, from: number): number {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes, from);
      case 'chunk size':
      case 'trailer':
        return this.#readLine(bytes);
      case 'chunk end':
        if (bytes.length < 2) return -1;
        if (bytes[0] !== CR || bytes[1] !== LF) throw wrong('a chunk that is longer than it said');
        this.#state = 'chunk size';
        return 2;
      case 'close':
        return this.#keep(bytes);
      default:
        return this.#readBytes(bytes);
    }
  }

  #readHead(bytes: Buffer, from: number): number {
    const start = bytes.toString('latin1', 0, 7);
    if (!'HTTP/1.'.startsWith(start)) throw wrong(`it begins with ${JSON.stringify(start)}`);
    const end = bytes.indexOf(END_OF_HEAD, Math.max(0, from - 3));
    if ((end < 0 ? bytes.length : end) > this.#limits.headBytes) throw new AnswerFault('headers_too_large', `more than ${this.#limits.headBytes} bytes`);
    if (end < 0) {
      if (bytes.includes('\n\n', Math.max(0, from - 1))) throw wrong('lines that end without CR');
      return -1;
    }
    const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
    const [, version = '', code = ''] = STATUS_LINE.exec(first) ?? [];
    if (code === '' || CONTROL.test(first)) throw wrong('no status line');
    const status = Number(code);
    if (status === 101) throw wrong('the server switched protocols');
    const fields = fieldsOf(lines);
    if (status >= 200) {
      this.head = { status, headers: Object.fromEntries(fields), keepMs: keepMsOf(version, fields, this.#limits.keepMs) };
      this.#frame(status, version, fields);
    }
    return end + END_OF_HEAD.length;
  }

  /** Where the body ends (RFC 9112, 6.3). */
  #frame(status: number, version: string, fields: Map<string, string>): void {
    const length = fields.get('content-length');
    const coding = fields.get('transfer-encoding')?.toLowerCase();
    if (length !== undefined && !/^\d{1,15}$/.test(length)) throw wrong('a length that is not a number');
    if (coding !== undefined && (length !== undefined || version === '0' || coding !== 'chunked')) throw wrong('an end of the body that is not clear');
    if (this.#withoutBody || status === 204 || status === 304 || length === '0') this.#state = 'done';
    else if (coding !== undefined) this.#state = 'chunk size';
    else if (length !== undefined) {
      this.#state = 'length';
      this.#left = Number(length);
      if (this.#left === 0) this.#state = 'done';
    } else if (this.head) {
      this.#state = 'close';
      this.head.keepMs = 0;
    }
  }

  #readLine(bytes: Buffer): number {
    const end = bytes.indexOf(LF);
    if (end < 0 && bytes.length <= LONGEST_CHUNK_LINE) return -1;
    if (end < 1 || end > LONGEST_CHUNK_LINE || bytes[end - 1] !== CR) throw wrong('chunks that cannot be read');
    const line = bytes.toString('latin1', 0, end - 1);
    if (this.#state === 'trailer') {
      this.#trailerBytes += end;
      if (this.#trailerBytes > this.#limits.headBytes) throw new AnswerFault('headers_too_large', 'in the trailer');
      if (line === '') this.#state = 'done';
      return end + 1;
    }
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(?:;|$)/.exec(line)?.[1];
    if (size === undefined || CONTROL.test(line)) throw wrong('chunks that cannot be read');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailer' : 'chunk';
    return end + 1;
  }

  #readBytes(bytes: Buffer): number {
    const used = this.#keep(bytes.subarray(0, this.#left));
    this.#left -= used;
    if (this.#left === 0) this.#state = this.#state === 'chunk' ? 'chunk end' : 'done';
    return used;
  }

  #keep(bytes: Buffer): number {
    const room = this.#limits.bodyBytes - this.#size;
    this.tooLong = bytes.length > room;
    // A copy: the driver's buffer is 64 KiB, which a short answer would hold on to.
    if (room > 0) this.#parts.push(Uint8Array.prototype.slice.call(bytes, 0, room));
    this.#size += bytes.length;
    return bytes.length;
  }
}
