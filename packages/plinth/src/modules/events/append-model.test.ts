/** Random appends against a model of a few lines: the same answers, the same errors, the same streams, and folds that agree with them. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import type { Fold } from './aggregate.ts';
import { loadAggregate } from './aggregate.ts';
import { appendNow } from './append.ts';
import type { ExpectedVersion } from './row.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('append_model');
});
afterAll(() => database.drop());

interface Step {
  stream: string;
  notes: number[];
  /** A number is a distance from the version that the stream is at. */
  expected: number | 'none' | 'exists' | 'any';
}
interface Call {
  tenant: 'a' | 'b';
  steps: Step[];
  key: string | undefined;
  way: 'transaction' | 'sql';
  /** Says again what an earlier call said, if there was one. */
  again: number | undefined;
}
interface Answer {
  events: string[];
  duplicate: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  stream: fc.constantFrom('x', 'y', 'z'),
  notes: fc.oneof({ weight: 4, arbitrary: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }) }, { weight: 1, arbitrary: fc.constant<number[]>([]) }),
  expected: fc.oneof(
    { weight: 3, arbitrary: fc.constant<Step['expected']>(0) },
    { weight: 3, arbitrary: fc.constant<Step['expected']>('any') },
    { weight: 1, arbitrary: fc.constantFrom<Step['expected']>('none', 'exists', 1, -1) },
  ),
});
const call: fc.Arbitrary<Call> = fc.record({
  tenant: fc.constantFrom('a', 'b'),
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  key: fc.option(fc.constantFrom('k1', 'k2'), { nil: undefined, freq: 3 }),
  way: fc.constantFrom('transaction', 'sql'),
  again: fc.option(fc.nat(20), { nil: undefined, freq: 2 }),
});

/** What ought to be. */
class Model {
  readonly streams = new Map<string, number[]>();
  readonly keys = new Map<string, { content: string; events: string[] }>();
  at = (tenant: string, stream: string): number[] => this.streams.get(`${tenant} ${stream}`) ?? [];

  append({ tenant, key }: Call, steps: { stream: string; notes: number[]; expected: ExpectedVersion }[]): Answer | string {
    if (steps.every(({ notes }) => notes.length === 0) || steps.some(({ notes, expected }) => notes.length === 0 && expected === 'any'))
      return 'events_event_invalid';
    const content = JSON.stringify(steps.flatMap(({ stream, notes }) => notes.map((note) => [stream, note])));
    const known = key === undefined ? undefined : this.keys.get(`${tenant} ${key}`);
    if (known) return known.content === content ? { events: known.events, duplicate: true } : 'events_idempotency_conflict';
    const next = new Map(steps.map(({ stream }) => [stream, [...this.at(tenant, stream)]]));
    const events: string[] = [];
    for (const { stream, notes, expected } of steps) {
      const now = next.get(stream) ?? [];
      const fits = expected === 'any' || expected === now.length || (expected === 'none' && now.length === 0) || (expected === 'exists' && now.length > 0);
      if (!fits) return 'events_version_conflict';
      for (const note of notes) events.push(`${stream}@${now.push(note)}`);
    }
    for (const [stream, notes] of next) this.streams.set(`${tenant} ${stream}`, notes);
    if (key !== undefined) this.keys.set(`${tenant} ${key}`, { content, events });
    return { events, duplicate: false };
  }
}

const total: Fold<{ notes: number[] }> = {
  name: 'notes',
  initial: () => ({ notes: [] }),
  reduce: (state, event) => ({ notes: [...state.notes, Number(event.data.note)] }),
  snapshotEvery: 3,
};

let runs = 0;

/** The same call, really. */
async function append(
  run: string,
  { tenant, key, way }: Call,
  steps: { stream: string; notes: number[]; expected: ExpectedVersion }[],
): Promise<Answer | string> {
  const tenantId = tenant === 'a' ? database.tenantA : database.tenantB;
  const idempotencyKey = key === undefined ? undefined : `${run} ${key}`;
  const id = (stream: string): string => `${run} ${stream}`;
  try {
    return await database.plinth.transaction({ tenantId }, async (tx) => {
      if (way === 'transaction') {
        const events = (notes: number[]) => notes.map((note) => ({ type: 'model.noted', data: { note } }));
        const appends = steps.map(({ stream, notes, expected }) => ({
          stream: { type: 'model', id: id(stream) },
          events: events(notes),
          expectedVersion: expected,
        }));
        const done = await appendNow(tx, appends, { idempotencyKey });
        return { events: done.events.map((event) => `${event.stream.id.slice(run.length + 1)}@${event.version}`), duplicate: done.duplicate };
      }
      const events = (notes: number[]) => notes.map((note) => ({ event_type: 'model.noted', payload: { note } }));
      const appends = steps.map(({ stream, notes, expected }) => ({
        aggregate_type: 'model',
        aggregate_id: id(stream),
        ...(notes.length > 0 ? { events: events(notes) } : {}),
        expected_version: expected,
      }));
      const rows = await tx.query<{ aggregate_id: string; version: string; duplicate: boolean }>(
        'select aggregate_id, version, duplicate from plinth.append_to_streams($1, $2)',
        [JSON.stringify(appends), idempotencyKey ?? null],
      );
      return { events: rows.map((row) => `${row.aggregate_id.slice(run.length + 1)}@${row.version}`), duplicate: rows[0]?.duplicate ?? false };
    });
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('whatever is appended, in whatever order: answers, errors, streams and folds are those of the model', { timeout: 120_000 }, async () => {
  const seed = drawnSeed();
  console.log(`append model: seed ${seed} (PLINTH_SEED=${seed} repeats it)`);
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 12 }), async (calls) => {
      const run = `run ${++runs}`;
      const model = new Model();
      for (const [index, drawn] of calls.entries()) {
        const one = { ...(drawn.again === undefined ? drawn : (calls[drawn.again % (index + 1)] ?? drawn)), way: drawn.way };
        const at = (stream: string): number => model.at(one.tenant, stream).length;
        const steps = one.steps.map(({ stream, notes, expected }) => ({
          stream,
          notes,
          expected: typeof expected === 'number' ? Math.max(0, at(stream) + expected) : expected,
        }));
        const should = model.append(one, steps);
        expect(await append(run, one, steps)).toEqual(should);
        const kind = typeof should === 'string' ? should : should.duplicate ? 'duplicate' : 'appended';
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        const fold = await database.plinth.transaction({ tenantId: one.tenant === 'a' ? database.tenantA : database.tenantB }, (tx) =>
          loadAggregate(tx, { type: 'model', id: `${run} x` }, total),
        );
        expect(fold.state.notes).toEqual(model.at(one.tenant, 'x'));
      }
      const { rows } = await database.admin.query<{ tenant_id: string; aggregate_id: string; version: string; note: number }>(
        `select tenant_id, aggregate_id, version, (payload ->> 'note')::integer as note from plinth_events.events where aggregate_type = 'model' and aggregate_id like $1 order by position`,
        [`${run} %`],
      );
      const streams = new Map<string, number[]>();
      for (const row of rows) {
        const name = `${row.tenant_id === database.tenantA ? 'a' : 'b'} ${row.aggregate_id.slice(run.length + 1)}`;
        streams.set(name, [...(streams.get(name) ?? []), row.note]);
        // By position: versions have no gap and come in order.
        expect(Number(row.version)).toBe(streams.get(name)?.length);
      }
      expect(streams).toEqual(new Map([...model.streams].filter(([, notes]) => notes.length > 0)));
    }),
    { seed, numRuns: drawnRuns(100) },
  );
  console.log(`append model: ${runs} runs, ${JSON.stringify(Object.fromEntries(seen))}`);
  for (const kind of ['appended', 'duplicate', 'events_version_conflict', 'events_idempotency_conflict', 'events_event_invalid'])
    expect(seen.get(kind) ?? 0).toBeGreaterThan(0);
});
