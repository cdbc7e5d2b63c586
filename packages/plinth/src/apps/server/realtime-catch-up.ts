import type { LiveWindow, LogState } from '#modules/events';
import type { Channels } from './realtime-channels.ts';
import type { Connection } from './realtime-connection.ts';
import type { Offset } from './realtime-offset.ts';
import { parseSnapshot, writeOffset } from './realtime-offset.ts';
import type { Past } from './realtime-pages.ts';
import type { Tail } from './realtime-tail.ts';

interface CatchUp {
  connection: Connection;
  tail: Tail;
  past: Past;
  channels: Channels;
  offset: Offset | 'unreadable' | undefined;
  bufferBytes: number;
}

/** A reader of its past has so long to take a page. */
const TAKE_MS = 30_000;

/** Why what followed an offset cannot be told any more; undefined: it can. */
export function breakOf(offset: Offset, log: LogState, nowAt: string): 'log_changed' | 'retention' | 'unknown_offset' | undefined {
  if (offset.epoch !== log.epoch || offset.timeline !== log.timeline) return 'log_changed';
  if (offset.atMs < log.keptFromMs) return 'retention';
  const seen = parseSnapshot(offset.window.s2 ?? offset.window.s1);
  return seen.xmax > parseSnapshot(nowAt).xmax ? 'unknown_offset' : undefined;
}

/** What lies between an offset and a later moment: the rest of a window that was half told, then all that came after it. */
const windowsTo = ({ s1, s2, last }: LiveWindow, target: string): (LiveWindow & { s2: string })[] =>
  s2 === undefined
    ? [{ s1, s2: target, last }]
    : [
        { s1, s2, last },
        { s1: s2, s2: target, last: '0' },
      ];

async function tellWindow({ connection, tail, past, bufferBytes }: CatchUp, fromMs: number, window: LiveWindow & { s2: string }): Promise<void> {
  for (let last: string | undefined = window.last; last !== undefined && connection.open; ) {
    const { frames, next } = await past.page(connection.tenantId, { ...window, last }, fromMs, tail.log);
    const indexes = [...frames.events.keys()].filter((index) => connection.matches(frames.events[index] as (typeof frames.events)[number]));
    if (indexes.length > 0) connection.send(frames.bytes(connection.format, indexes));
    last = next;
    if (!(await connection.sink.drained(bufferBytes / 4, TAKE_MS)) && connection.open) {
      connection.end();
      connection.sink.destroy();
    }
  }
}

/**
 * Takes a connection from its offset into the present, without a gap and without telling anything twice: from a moment T on the tail holds
 * back what it has for the connection, the past up to T is read and told, then what was held back; from there on it is live.
 */
export async function catchUp(given: CatchUp): Promise<void> {
  const { connection, tail, channels } = given;
  const hold = (): void => void (connection.held = { events: [], bytes: 0, overflowed: false });
  hold();
  // A look that began after the reader came: whatever it has seen elsewhere, this process has seen as well.
  await tail.refresh();
  const stateOf = (window: LiveWindow): Offset => ({ epoch: tail.log.epoch, timeline: tail.log.timeline, atMs: tail.atMs, window });
  const asked = given.offset === 'unreadable' ? undefined : given.offset;
  let from = asked ?? stateOf(tail.at);
  const nowAt = tail.at.s2 ?? tail.at.s1;
  const gap = breakOf(from, tail.log, nowAt) ?? (asked && (await given.past.lost(connection.tenantId, from, tail.log)) ? 'log_changed' : undefined);
  const fault = given.offset === 'unreadable' ? 'unknown_offset' : gap;
  if (fault) {
    from = stateOf(tail.at);
    connection.reset(fault, writeOffset(from));
  } else connection.ready(writeOffset(from), asked !== undefined);
  channels.add(connection);
  while (connection.open) {
    hold();
    const until = stateOf(tail.at);
    // Between two looks a window is whole; only in the middle of a backlog the past ends inside of one.
    const target = until.window.s1;
    if (until.window.s2 !== undefined) {
      await tail.refresh();
      continue;
    }
    // What lies behind a window that was half told begins with what is read of it now: of its end the offset says no time.
    const readMs = tail.nowMs();
    if (from.window.s2 !== undefined || from.window.s1 !== target)
      for (const [index, window] of windowsTo(from.window, target).entries()) await tellWindow(given, index === 0 ? from.atMs : readMs, window);
    const { held } = connection;
    if (held && !held.overflowed) {
      connection.held = undefined;
      // Its topics may have changed meanwhile.
      const still = held.events.filter(({ event }) => connection.matches(event));
      if (still.length > 0) connection.send(Buffer.concat(still.map(({ bytes }) => bytes)));
      return;
    }
    from = until;
    await tail.refresh();
  }
}
