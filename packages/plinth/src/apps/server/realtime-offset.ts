import type { LiveWindow } from '#modules/events';

/**
 * Where a reader of the log stands, as text that any server process understands without asking a table: everything visible in `s1` was
 * read, and what `s2` adds to it up to position `last`. Opaque to clients; base64url of variable-length numbers.
 */
export interface Offset {
  epoch: number;
  /** Of the write-ahead log: another one after a failover or a restore to a point in time. */
  timeline: number;
  /** When `s1` was seen, by the clock of the database or later, ms since 1970. */
  atMs: number;
  window: LiveWindow;
}

interface Snapshot {
  xmin: bigint;
  xmax: bigint;
  xip: bigint[];
}

const FORM = 1;
/** A snapshot lists at most the transactions that a server can have open. */
const MOST_OPEN = 20_000;
const LONGEST = 60_000;

export const parseSnapshot = (text: string): Snapshot => {
  const [xmin = '0', xmax = '0', xip = ''] = text.split(':');
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), xip: xip === '' ? [] : xip.split(',').map(BigInt) };
};
const snapshotText = ({ xmin, xmax, xip }: Snapshot): string => `${xmin}:${xmax}:${xip.join(',')}`;

const put = (bytes: number[], value: bigint): void => {
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
};

const putSnapshot = (bytes: number[], text: string): void => {
  const { xmin, xmax, xip } = parseSnapshot(text);
  put(bytes, xmin);
  put(bytes, xmax - xmin);
  put(bytes, BigInt(xip.length));
  let before = xmin;
  for (const one of xip) {
    put(bytes, one - before);
    before = one;
  }
};

/** What all offsets of one window have in common, so that each costs only its position. */
export function offsetWriter(state: Pick<Offset, 'epoch' | 'timeline' | 'atMs'>, s1: string, s2?: string): (last: string) => string {
  const head: number[] = [FORM];
  for (const value of [state.epoch, state.timeline, state.atMs]) put(head, BigInt(value));
  putSnapshot(head, s1);
  if (s2 !== undefined) putSnapshot(head, s2);
  return (last) => {
    const bytes = [...head];
    if (s2 !== undefined) put(bytes, BigInt(last));
    return Buffer.from(bytes).toString('base64url');
  };
}

export const writeOffset = ({ window, ...state }: Offset): string => offsetWriter(state, window.s1, window.s2)(window.last);

/** Undefined: this is no offset. */
export function readOffset(text: string): Offset | undefined {
  if (text.length > LONGEST || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  let at = 0;
  const next = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('it ends early');
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a number is too long');
  };
  const snapshot = (): string => {
    const xmin = next();
    const xmax = xmin + next();
    const count = Number(next());
    if (count > MOST_OPEN || xmax >= 2n ** 63n || xmin < 1n) throw new RangeError('this is no snapshot');
    const xip: bigint[] = [];
    let before = xmin;
    for (let nth = 0; nth < count; nth++) {
      const step = next();
      before += step;
      if (before >= xmax || (nth > 0 && step === 0n)) throw new RangeError('this is no snapshot');
      xip.push(before);
    }
    return snapshotText({ xmin, xmax, xip });
  };
  try {
    if (next() !== BigInt(FORM)) return undefined;
    const [epoch, timeline, atMs] = [Number(next()), Number(next()), Number(next())];
    const s1 = snapshot();
    if (at === bytes.length) return { epoch, timeline, atMs, window: { s1, last: '0' } };
    const s2 = snapshot();
    const last = next();
    if (at !== bytes.length || last >= 2n ** 63n) return undefined;
    return { epoch, timeline, atMs, window: { s1, s2, last: String(last) } };
  } catch {
    return undefined;
  }
}
