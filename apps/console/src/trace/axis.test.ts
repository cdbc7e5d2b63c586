import { expect, test } from 'vitest';
import { axisOf } from './axis.ts';

const instants = (...times: readonly number[]) => times.map((time) => ({ from: time, to: time }));

test('times keep their order and stay on the axis', () => {
  const times = [0, 1, 2, 40, 99, 2610, 2650, 90_000];
  const axis = axisOf(instants(...times));
  const places = times.map((time) => axis.at(time));
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(places[0]).toBe(0);
  expect(places.at(-1)).toBeCloseTo(1);
});

test('a long wait is folded, so that what happened around it can be seen', () => {
  const axis = axisOf(instants(0, 1, 2, 40, 99, 60_000, 60_040));
  expect(axis.breaks).toHaveLength(1);
  expect(axis.at(99)).toBeGreaterThan(0.4);
});

test('an even story has no breaks', () => {
  expect(axisOf(instants(0, 100, 200, 300)).breaks).toEqual([]);
});

test('a single instant has an axis', () => {
  const axis = axisOf(instants(5));
  expect(axis.at(5)).toBe(0);
  expect(axis.ticks.length).toBeGreaterThan(0);
});
