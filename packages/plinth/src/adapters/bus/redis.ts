import type { Redis } from 'ioredis';
import { fail } from '#kernel/errors.ts';
import { messageOf } from '#kernel/thrown.ts';
import type { EventBus, RelayMessage } from '#modules/events';

export interface RedisStreamsOptions {
  /** `redis://localhost:6379`. */
  url: string;
  /** Events of a tenant go to the stream `<prefix>:{<tenant id>}`. Default `plinth:events`. */
  keyPrefix?: string | undefined;
  /** About how many entries a stream keeps, the newest (`MAXLEN ~`). Default: all. */
  maxLength?: number | undefined;
  /** For how long ids of events are remembered, so that one which is sent again is not added again, s. Default 120; 0: not at all. */
  duplicateWindowS?: number | undefined;
  /** Longest wait for an answer, ms. Default 10,000. */
  answerMs?: number | undefined;
  /** Credentials, TLS and the rest: `RedisOptions` of ioredis, which who has no relay need not have installed. */
  connection?: object | undefined;
}

/**
 * Adds entries to one stream, in their order, each at most once within the window. What a script has added stays when a later entry fails, and
 * those after it are not tried, so the stream never has a gap.
 */
const ADD = `
local window, most = tonumber(ARGV[1]), ARGV[2]
local added = 0
for i = 3, #ARGV, 3 do
  local seen = KEYS[1] .. ':seen:' .. ARGV[i]
  if window == 0 or redis.call('exists', seen) == 0 then
    if most == '' then
      redis.call('xadd', KEYS[1], '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'event', ARGV[i + 2])
    else
      redis.call('xadd', KEYS[1], 'MAXLEN', '~', most, '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'event', ARGV[i + 2])
    end
    if window > 0 then redis.call('set', seen, 1, 'EX', window) end
    added = added + 1
  end
end
return added`;

const MOST_IN_A_SCRIPT = 500;
const MOST_BYTES_IN_A_SCRIPT = 4_194_304;

const load = async () => {
  try {
    return await import('ioredis');
  } catch (cause) {
    throw fail('unavailable', { message: 'The relay to Redis needs the package ioredis', wayOut: 'npm install ioredis.', cause });
  }
};

const down = (cause: unknown) => fail('unavailable', { message: `Redis did not take events: ${messageOf(cause)}`, cause });

/** Somebody else has the key of this tenant: no fault of Redis, which takes the events of all others. */
const isOther = (error: unknown): boolean => error instanceof Error && error.message.includes('WRONGTYPE');

/** Arguments of the script for messages of one tenant, in parts that do not hold Redis up for long. */
function parts(messages: readonly RelayMessage[]): string[][] {
  const made: string[][] = [];
  let bytes = 0;
  for (const message of messages) {
    const text = JSON.stringify(message.cloudEvent);
    const last = made.at(-1);
    bytes += text.length;
    if (!last || last.length >= MOST_IN_A_SCRIPT * 3 || bytes > MOST_BYTES_IN_A_SCRIPT) {
      made.push([message.id, message.type, text]);
      bytes = text.length;
    } else last.push(message.id, message.type, text);
  }
  return made;
}

/** Adds events to Redis Streams, one stream a tenant, as structured CloudEvents with their ids beside. Connects when it is first used. */
export function redisStreamsBus(options: RedisStreamsOptions): EventBus {
  const prefix = options.keyPrefix ?? 'plinth:events';
  const answerMs = options.answerMs ?? 10_000;
  let client: Redis | undefined;

  const opened = async (): Promise<Redis> => {
    if (client && client.status !== 'end') return client;
    const { Redis } = await load();
    client = new Redis(options.url, {
      connectTimeout: answerMs,
      commandTimeout: answerMs,
      maxRetriesPerRequest: 1,
      connectionName: 'plinth relay',
      ...options.connection,
      lazyConnect: true,
    });
    // Failures are told by the commands that meet them.
    client.on('error', () => {});
    return client;
  };

  return {
    name: 'redis',
    async publish(messages) {
      const redis = await opened();
      const tenants = Map.groupBy(messages, ({ tenantId }) => tenantId);
      const settings = [String(options.duplicateWindowS ?? 120), options.maxLength === undefined ? '' : String(options.maxLength)];
      for (const [tenantId, own] of tenants)
        for (const part of parts(own))
          await redis.eval(ADD, 1, `${prefix}:{${tenantId}}`, ...settings, ...part).catch((error: unknown) => {
            throw isOther(error) ? new TypeError(`The key ${prefix}:{${tenantId}} holds something else than a stream`, { cause: error }) : down(error);
          });
    },
    async close() {
      client?.disconnect();
      client = undefined;
    },
  };
}
