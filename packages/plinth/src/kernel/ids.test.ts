import { expect, test } from 'vitest';
import { virtualClock } from './clock.ts';
import { isUuid, uuidV7, uuidV7Source, v7Floor, v7Time } from './ids.ts';

test('ids are version 7, in order, and tell when they were made', () => {
  const before = Date.now();
  const ids = Array.from({ length: 20_000 }, uuidV7);
  expect(new Set(ids).size).toBe(ids.length);
  expect([...ids].sort()).toEqual(ids);
  for (const id of [ids[0] ?? '', ids.at(-1) ?? '']) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(v7Time(id)).toBeGreaterThanOrEqual(before);
    expect(v7Time(id)).toBeLessThanOrEqual(Date.now() + 20);
  }
});

test('a clock that stands still or steps back does not reorder ids', () => {
  const clock = virtualClock();
  const newId = uuidV7Source(clock);
  const ids = Array.from({ length: 5000 }, newId);
  clock.advance(-60_000);
  ids.push(newId());
  clock.advance(120_000);
  ids.push(newId());
  expect([...ids].sort()).toEqual(ids);
});

test('a test can drive clock and randomness and so predict every id', () => {
  const make = () => uuidV7Source(virtualClock(1_700_000_000_000), (bytes) => void bytes.fill(7));
  expect(make()()).toBe(make()());
});

test('the floor of a moment is below every id of that moment and above every id before it', () => {
  const clock = virtualClock();
  const newId = uuidV7Source(clock);
  const earlier = newId();
  clock.advance(1);
  expect(v7Floor(clock.now()) > earlier).toBe(true);
  expect(v7Floor(clock.now()) <= newId()).toBe(true);
  expect(isUuid(v7Floor(0))).toBe(true);
  expect(v7Time('not an id')).toBeUndefined();
});
