import { randomFillSync } from 'node:crypto';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';

/** Makes record ids. A test passes its own to get ids it can predict. */
export type IdSource = () => string;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** True for any UUID in its canonical text form. */
export const isUuid = (text: string): boolean => UUID.test(text);

/** A correlation id as callers may write it: a UUID or, as in a traceparent, 32 hexadecimal digits. Undefined for anything else. */
export function readCorrelationId(text: string): string | undefined {
  const id = /^[0-9a-f]{32}$/i.test(text) ? [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-') : text;
  return isUuid(id) ? id.toLowerCase() : undefined;
}

const hex = (bytes: Uint8Array, from: number, to: number): string => {
  let out = '';
  for (let i = from; i < to; i++) out += HEX[bytes[i] ?? 0];
  return out;
};

/**
 * UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds, then a 12-bit counter that keeps ids of one
 * process in order within a millisecond (method 1 of section 6.2), then 62 random bits.
 * A clock that steps back does not reorder ids: the last millisecond seen is kept.
 */
export function uuidV7Source(clock: Clock = systemClock, random: (bytes: Uint8Array) => void = randomFillSync): IdSource {
  const pool = new Uint8Array(4096);
  let offset = pool.length;
  let lastMs = 0;
  let counter = 0;
  return () => {
    if (offset + 10 > pool.length) {
      random(pool);
      offset = 0;
    }
    const ms = clock.now();
    if (ms > lastMs) {
      lastMs = ms;
      // Seeded below half, so that a burst in one millisecond has room to count up.
      counter = (((pool[offset] ?? 0) << 8) | (pool[offset + 1] ?? 0)) & 0x7ff;
    } else if (++counter > 0xfff) {
      lastMs += 1;
      counter = 0;
    }
    const time = lastMs.toString(16).padStart(12, '0');
    const low = counter.toString(16).padStart(3, '0');
    const variant = HEX[((pool[offset + 2] ?? 0) & 0x3f) | 0x80];
    const id = `${time.slice(0, 8)}-${time.slice(8)}-7${low}-${variant}${hex(pool, offset + 3, offset + 4)}-${hex(pool, offset + 4, offset + 10)}`;
    offset += 10;
    return id;
  };
}

/** The process's own id source: system clock, system randomness. */
export const uuidV7: IdSource = uuidV7Source();

/** The smallest UUID v7 of a moment: turns a time filter into id bounds, which prune partitions. */
export function v7Floor(timeMs: number): string {
  const time = Math.max(0, Math.floor(timeMs)).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}

/** The moment a UUID v7 was made, in milliseconds since 1970; undefined for any other UUID. */
export function v7Time(id: string): number | undefined {
  return isUuid(id) && id[14] === '7' ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : undefined;
}
