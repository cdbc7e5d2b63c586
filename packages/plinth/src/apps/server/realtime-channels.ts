import type { Connection } from './realtime-connection.ts';
import type { Format, Frames } from './realtime-frames.ts';
import type { Topic } from './realtime-topics.ts';
import { topicsMatcher } from './realtime-topics.ts';

/** Live connections of a tenant that listen to the same topics: what is for one of them is for all. */
interface Channel {
  matches: ReturnType<typeof topicsMatcher>;
  members: Record<Format, Set<Connection>>;
  /** How often it was told something. */
  turn: number;
}

/** Who hears what, by tenant. */
export interface Channels {
  /** The connection hears what is told from now on; held back while `connection.held` is there. */
  add(connection: Connection): void;
  move(connection: Connection, topics: readonly Topic[]): void;
  remove(connection: Connection): void;
  tell(frames: Frames): void;
}

/** More than this is not held back for a connection that is still told the past: it reads the log again. */
const MOST_HELD = 5_000;
const MOST_HELD_BYTES = 4 * 1_048_576;

const keyOf = (topics: readonly Topic[]): string => topics.map(({ text }) => text).join('\n');

function hold(connection: Connection, frames: Frames, indexes: readonly number[]): void {
  const { held } = connection;
  if (!held || held.overflowed) return;
  for (const index of indexes) {
    const bytes = frames.bytes(connection.format, [index]);
    held.bytes += bytes.length;
    if (held.events.length >= MOST_HELD || held.bytes > MOST_HELD_BYTES) return void Object.assign(held, { overflowed: true, events: [] });
    held.events.push({ event: frames.events[index] as Frames['events'][number], bytes });
  }
}

/** Telling thousands takes a while: each time others come first, so that nobody is always the last. The stride leaves no part of a crowd out. */
function inTurn(members: ReadonlySet<Connection>, turn: number): Connection[] {
  const all = [...members];
  const first = Math.floor(all.length * ((turn * 0.618) % 1));
  return first === 0 ? all : [...all.slice(first), ...all.slice(0, first)];
}

export function createChannels(): Channels {
  const tenants = new Map<string, Map<string, Channel>>();

  const remove = (connection: Connection): void => {
    const channels = tenants.get(connection.tenantId);
    const channel = channels?.get(keyOf(connection.topics));
    if (!channels || !channel?.members[connection.format].delete(connection)) return;
    if (channel.members.sse.size + channel.members.socket.size > 0) return;
    channels.delete(keyOf(connection.topics));
    if (channels.size === 0) tenants.delete(connection.tenantId);
  };

  const add = (connection: Connection): void => {
    if (!connection.open) return;
    const channels = tenants.get(connection.tenantId) ?? new Map<string, Channel>();
    tenants.set(connection.tenantId, channels);
    const key = keyOf(connection.topics);
    const channel = channels.get(key) ?? { matches: topicsMatcher(connection.topics), members: { sse: new Set(), socket: new Set() }, turn: 0 };
    channels.set(key, channel);
    channel.members[connection.format].add(connection);
  };

  const tellChannel = (channel: Channel, frames: Frames, indexes: readonly number[]): void => {
    const { matches, members } = channel;
    const matched = indexes.filter((index) => matches(frames.events[index] as Frames['events'][number]));
    if (matched.length === 0) return;
    const turn = channel.turn++;
    for (const format of ['sse', 'socket'] as const) {
      let bytes: Buffer | undefined;
      for (const connection of inTurn(members[format], turn)) {
        if (connection.held) hold(connection, frames, matched);
        else connection.send((bytes ??= frames.bytes(format, matched)));
      }
    }
  };

  return {
    add,
    remove,
    move(connection, topics) {
      const listed = connection.open;
      remove(connection);
      connection.topics = topics;
      connection.matches = topicsMatcher(topics);
      if (listed) add(connection);
    },
    tell(frames) {
      const byTenant = new Map<string, number[]>();
      for (const [index, { tenantId }] of frames.events.entries()) {
        if (!tenants.has(tenantId)) continue;
        const indexes = byTenant.get(tenantId);
        if (indexes) indexes.push(index);
        else byTenant.set(tenantId, [index]);
      }
      for (const [tenantId, indexes] of byTenant) for (const channel of tenants.get(tenantId)?.values() ?? []) tellChannel(channel, frames, indexes);
    },
  };
}
