import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { isJson, jsonChanges } from './json-changes.ts';

test('names the smallest parts that differ, by JSON pointer', () => {
  const before = { lines: [{ sku: 'a', count: 1 }, { sku: 'b' }], 'a/b~c': 1, gone: null, same: { x: [1] } };
  const after = { lines: [{ sku: 'a', count: 2 }], 'a/b~c': 2, fresh: {}, same: { x: [1] } };
  expect(jsonChanges(before, after)).toEqual([
    { path: '/lines/0/count', before: 1, after: 2 },
    { path: '/lines/1', before: { sku: 'b' } },
    { path: '/a~1b~0c', before: 1, after: 2 },
    { path: '/gone', before: null },
    { path: '/fresh', after: {} },
  ]);
  expect(jsonChanges([], {})).toEqual([{ path: '', before: [], after: {} }]);
  expect(jsonChanges({ a: undefined }, {})).toEqual([]);
});

/** Makes `after` of `before`, by the changes alone. */
function applyChanges(before: unknown, changes: ReturnType<typeof jsonChanges>): unknown {
  let root = structuredClone(before);
  // From the back, so that elements leave an array from its end.
  const inOrder = [...changes.filter((change) => 'after' in change), ...changes.filter((change) => !('after' in change)).reverse()];
  for (const change of inOrder) {
    if (change.path === '') {
      root = structuredClone(change.after);
      continue;
    }
    const keys = change.path
      .slice(1)
      .split('/')
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let parent = root as Record<string, unknown>;
    for (const key of keys) parent = parent[key] as Record<string, unknown>;
    if ('after' in change) parent[last] = structuredClone(change.after);
    else if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else delete parent[last];
  }
  return root;
}

test('tells everything: the value before and the changes make the value after', () => {
  const seed = drawnSeed();
  console.log(`json changes: seed ${seed} (PLINTH_SEED=${seed} repeats it)`);
  const json = fc
    .jsonValue({ noUnicodeString: false, maxDepth: 4 })
    .map((value) => JSON.parse(JSON.stringify(value).replaceAll('__proto__', 'proto')) as unknown);
  fc.assert(
    fc.property(json, json, (before, after) => {
      expect(applyChanges(before, jsonChanges(before, after))).toEqual(after);
      expect(jsonChanges(after, after)).toEqual([]);
    }),
    { seed, numRuns: drawnRuns(500) },
  );
});

test('what JSON would not give back is not JSON', () => {
  class Money {
    cents = 1;
  }
  for (const value of [new Date(), new Map(), 1n, Number.NaN, undefined, () => 1, { a: new Money() }, ['\0'], { '\ud800': 1 }, Symbol('x')])
    expect(isJson(value)).toBe(false);
  expect(isJson({ a: undefined, b: [1, 'x', null, { c: true }] })).toBe(true);
});
