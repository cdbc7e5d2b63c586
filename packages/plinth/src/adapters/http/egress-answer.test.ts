import { describe, expect, test } from 'vitest';
import { AnswerFault, AnswerReader } from './egress-answer.ts';

const LIMITS = { headBytes: 400, bodyBytes: 100, keepMs: 4000 };

/** Feeds `text` in pieces of so many bytes; undefined: the answer was not complete when the other side hung up. */
function read(text: string, piece: number, method = 'POST'): AnswerReader | undefined {
  const reader = new AnswerReader(method, LIMITS);
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += piece) if (reader.take(bytes.subarray(at, at + piece))) return reader;
  return reader.end() ? reader : undefined;
}
const seen = (reader: AnswerReader | undefined) =>
  reader && { status: reader.head?.status, body: Buffer.from(reader.body).toString('latin1'), keepMs: reader.head?.keepMs };
const PIECES = [1, 2, 3, 7, 10_000];

describe('an answer, in pieces of any size', () => {
  test.each([
    ['by length', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', { status: 200, body: 'hello', keepMs: 4000 }],
    ['without a body', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '', keepMs: 4000 }],
    ['of no bytes, without a reason', 'HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n', { status: 202, body: '', keepMs: 4000 }],
    [
      'in chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1 \r\n!\r\n0\r\nx-t: 1\r\n\r\n',
      { status: 200, body: 'hello!', keepMs: 4000 },
    ],
    ['until the end', 'HTTP/1.1 200 OK\r\n\r\nhello', { status: 200, body: 'hello', keepMs: 0 }],
    [
      'after interim ones',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na',
      { status: 200, body: 'a', keepMs: 4000 },
    ],
    ['of a server that closes', 'HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\na', { status: 200, body: 'a', keepMs: 0 }],
    ['of a server that waits 3 s', 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\ncontent-length: 1\r\n\r\na', { status: 200, body: 'a', keepMs: 2000 }],
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na', { status: 200, body: 'a', keepMs: 0 }],
  ])('%s', (_name, text, expected) => {
    for (const piece of PIECES) expect(seen(read(text, piece))).toEqual(expected);
  });

  test('headers are joined, folded lines too; of those that mean something once the first counts; no name reaches a prototype', () => {
    const text = 'HTTP/1.1 204 \r\nX-A:1\r\nx-a:  2 \r\nx-f: a\r\n\t b\r\nretry-after: 1\r\nretry-after: 2\r\n__proto__: x\r\nconstructor: y\r\n\r\n';
    for (const piece of PIECES) {
      const headers = read(text, piece)?.head?.headers;
      expect(Object.entries(headers ?? {})).toEqual([
        ['x-a', '1, 2'],
        ['x-f', 'a b'],
        ['retry-after', '1'],
        ['__proto__', 'x'],
        ['constructor', 'y'],
      ]);
    }
  });

  test('to HEAD has no body, whatever it says', () => {
    expect(seen(read('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n', 10_000, 'HEAD'))).toMatchObject({ body: '' });
  });

  test('that is too long ends at the limit, in every framing', () => {
    const long = 'x'.repeat(101);
    for (const text of [`content-length: 101\r\n\r\n${long}`, `transfer-encoding: chunked\r\n\r\n65\r\n${long}\r\n0\r\n\r\n`, `\r\n${long}`])
      for (const piece of PIECES) {
        const reader = read(`HTTP/1.1 200 OK\r\n${text}`, piece);
        expect(reader?.tooLong).toBe(true);
        expect(reader?.body).toHaveLength(100);
      }
  });

  test('with something behind it is told from one without', () => {
    const one = 'HTTP/1.1 204 No Content\r\n\r\n';
    expect(read(one, 10_000)?.overrun).toBe(false);
    expect(read(`${one}HTTP/1.1 200 OK`, 10_000)?.overrun).toBe(true);
  });

  test.each([
    ['a body', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell'],
    ['a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['a head', 'HTTP/1.1 200 OK\r\ncontent-le'],
  ])('that breaks off in %s is not complete', (_name, text) => {
    for (const piece of PIECES) expect(read(text, piece)).toBeUndefined();
  });
});

describe('what is not an answer', () => {
  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['no status', 'HTTP/1.1 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['HTTP/2', 'HTTP/2 200\r\n\r\n'],
    ['lines without CR', 'HTTP/1.1 200 OK\ncontent-length: 0\n\n'],
    ['one line without CR', 'HTTP/1.1 200 OK\r\nx-a: 1\ncontent-length: 0\r\n\r\n'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n'],
    ['a header without a colon', 'HTTP/1.1 200 OK\r\nnothing\r\n\r\n'],
    ['a NUL', 'HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na'],
    ['a list of lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\na'],
    ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
    ['length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['another coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n'],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['a size of a chunk that is none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n'],
    ['a chunk that goes on', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n'],
    ['a line of a chunk without CR', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n'],
    ['an endless line of a chunk', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;${'a'.repeat(300)}\r\n`],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n'],
  ])('%s is a protocol failure', (_name, text) => {
    for (const piece of PIECES) {
      const fault = (() => {
        try {
          return read(text, piece);
        } catch (error) {
          return error;
        }
      })();
      expect(fault).toBeInstanceOf(AnswerFault);
      expect(fault).toMatchObject({ fault: 'protocol' });
    }
  });

  test.each([
    ['a long head', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(500)}\r\n\r\n`],
    ['a head without an end', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(500)}`],
    ['a long trailer', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${'x-a: aaaaaaaaaaaaaa\r\n'.repeat(30)}\r\n`],
  ])('%s is too large', (_name, text) => {
    for (const piece of PIECES) expect(() => read(text, piece)).toThrow(expect.objectContaining({ fault: 'headers_too_large' }));
  });
});
