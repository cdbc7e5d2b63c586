import { expect, test } from 'vitest';
import type { TraceRow } from '../api/types.ts';
import { excerpt } from './excerpt.ts';
import { tell } from './story.ts';
import { storyText } from './text.ts';

const start = Date.parse('2026-11-21T10:00:00.000Z');

const row = (id: string, at: number, more: Partial<TraceRow> = {}): TraceRow => ({
  kind: 'thing',
  id,
  tenant_id: 't',
  at: new Date(start + at).toISOString(),
  ended_at: null,
  status: null,
  title: id,
  entity: null,
  parent_id: null,
  xact: null,
  attempt: null,
  data: null,
  module: 'm',
  ...more,
});
const ends = (at: number): string => new Date(start + at).toISOString();
const ids = (rows: readonly { row: TraceRow }[]): string[] => rows.map((item) => item.row.id);

test('rows of one transaction stand in one band, and what they caused follows below', () => {
  const story = tell(
    [
      row('delivery', 50, { parent_id: 'event', xact: '2' }),
      row('audit', 0, { xact: '1' }),
      row('job', 2, { xact: '1' }),
      row('event', 1, { xact: '1' }),
      row('entry', 90, { parent_id: 'job', xact: '3' }),
    ],
    start,
  );
  expect(story.bands.map((band) => ids(band.rows))).toEqual([['audit', 'event', 'job'], ['delivery'], ['entry']]);
  expect(story.bands.map((band) => band.depth)).toEqual([0, 1, 1]);
  expect(story.bands[1]?.cause?.id).toBe('event');
  expect(story.kinds.get('thing')).toBe(5);
});

test('a cause inside the same transaction indents and does not leave the band', () => {
  const story = tell([row('child', 1, { parent_id: 'root', xact: '1' }), row('root', 0, { xact: '1' })], start);
  expect(story.bands).toHaveLength(1);
  expect(story.rows.map((item) => item.depth)).toEqual([0, 1]);
});

test('rows whose cause is not part of the story begin it', () => {
  const story = tell([row('late', 5, { parent_id: 'elsewhere' }), row('first', 0)], start);
  expect(ids(story.rows)).toEqual(['first', 'late']);
});

test('a story is called by what happened first, not by the look of the operator who did it', () => {
  const look = row('look', 0, { title: 'operator.accessed' });
  expect(tell([look, row('made', 1, { title: 'order.placed' })], start).title).toBe('order.placed');
  expect(tell([look], start).title).toBe('operator.accessed');
});

test('causes that run in a circle lose no row', () => {
  const story = tell(
    [row('a', 0, { parent_id: 'b' }), row('b', 1, { parent_id: 'c' }), row('c', 2, { parent_id: 'a' }), row('d', 3, { parent_id: 'd' })],
    start,
  );
  expect(ids(story.rows).toSorted()).toEqual(['a', 'b', 'c', 'd']);
});

test('attempts of a job become its waiting and running', () => {
  const story = tell(
    [
      row('job', 0, { ended_at: ends(300), status: 'completed', attempt: 2 }),
      row('try1', 40, { kind: 'attempt', parent_id: 'job', attempt: 1, ended_at: ends(60), status: 'failed', data: { error: 'no' } }),
      row('try2', 200, { kind: 'attempt', parent_id: 'job', attempt: 2, ended_at: ends(300), status: 'completed' }),
      // One that it enqueued is no try of its own.
      row('next', 290, { parent_id: 'job', attempt: 1, ended_at: ends(900), status: 'completed' }),
    ],
    start,
  );
  const [job] = story.rows;
  expect(job?.spans.map(({ kind, from, to, bad }) => [kind, from - start, to - start, bad])).toEqual([
    ['wait', 0, 40, false],
    ['run', 40, 60, true],
    ['wait', 60, 200, false],
    ['run', 200, 300, false],
  ]);
  expect(job?.attempts.map((attempt) => attempt.error)).toEqual(['no', undefined]);
});

test.each([
  ['that one row caused', () => 'root'],
  ['each of which caused the next', (n: number) => `row${n - 1}`],
])('ten thousand rows %s are told, each once, and drawn in parts', (_, parent) => {
  const many = Array.from({ length: 10_000 }, (__, n) =>
    row(`row${n}`, n, { parent_id: n === 0 ? 'root' : parent(n), xact: `${n}`, status: n > 9_990 ? 'failed' : null }),
  );
  const story = tell([row('root', 0), ...many], start);
  expect(new Set(ids(story.rows)).size).toBe(10_001);
  const all = excerpt(story, 500, () => true);
  expect([all.rows.length, all.parts.length, all.total]).toEqual([500, 500, 10_001]);
  expect(ids(excerpt(story, 500, (item) => item.failed).rows)).toEqual(ids(story.rows.filter((item) => item.failed)));
});

test('what waits still waits until now, and the story says that it goes on', () => {
  const story = tell([row('job', 0, { status: 'pending' })], start + 500);
  expect(story.unfinished).toBe(true);
  expect(story.rows[0]?.spans).toEqual([{ kind: 'wait', from: start, to: start + 500, bad: false }]);
  expect(tell([row('entry', 0, { status: 'info' })], start).unfinished).toBe(false);
});

test('the copied text names the transaction, the order and the times', () => {
  const story = tell(
    [
      row('audit', 0, { xact: '7', entity: 'order:1' }),
      row('event', 2, { xact: '7' }),
      row('job', 50, { parent_id: 'event', xact: '8', status: 'failed', ended_at: ends(80) }),
    ],
    start,
  );
  const text = storyText('c-1', story);
  expect(text).toContain('Trace c-1');
  expect(text).toContain('one transaction (7): 2 records committed together');
  expect(text).toMatch(/\+50 ms {4}- thing job {2}\(failed; ran 30 ms\)/);
});
