/**
 * Every REST and tRPC procedure and every public SQL function, called as tenant B with what belongs to tenant A in each of its fields: nothing
 * of A may come back, nothing of A may change, and the answer must be the one for a thing that does not exist. Procedures come from the
 * router and functions from the catalog, so a module that is added later is covered without a change here.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ownPaths } from '../packages/plinth/src/apps/server/openapi-own.ts';
import type { Answer, TestServer } from '../packages/plinth/src/apps/server/server.fixture.ts';
import { testServer } from '../packages/plinth/src/apps/server/server.fixture.ts';
import { identifier, literal } from '../packages/plinth/src/kernel/database.ts';
import { createKeyRing } from '../packages/plinth/src/kernel/keys.ts';
import type { ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { procedure } from '../packages/plinth/src/kernel/rpc.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { seeded } from '../packages/plinth/src/testing/random.ts';
import { callRest, callRpc, type Input, isBodied, type Procedure, proceduresOf } from './fuzz-calls.ts';
import { fieldsOf, fits, inputFor, missingLike, normalised, type Place, pickSome, placesIn } from './fuzz-input.ts';
import type { World } from './fuzz-world.ts';
import { fingerprint, forget, populate } from './fuzz-world.ts';
import { publicFunctions, type SqlFunction, thingsOf } from './sql-things.ts';

const seed = Number(process.env.PLINTH_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = seeded(seed);
const all: ModuleMap = modules;

/** A procedure as it must not be: it looks past row security. The fuzz proves by it that it sees a leak. */
const leaky = {
  read: procedure({ rest: 'GET /leaky/{id}', permission: undefined, summary: 'A planted leak' })
    .input(z.object({ id: z.string() }))
    .output(z.unknown())
    .query(async ({ ctx, input }) => {
      await ctx.tx.query('set local role plinth_reader');
      return ctx.tx.query('select id, correlation_id from plinth_audit.entries where id::text = $1', [input.id]);
    }),
  touch: procedure({ rest: 'POST /leaky/{id}', permission: undefined, summary: 'A planted side effect' })
    .input(z.object({ id: z.string() }))
    .output(z.unknown())
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('set local role plinth_worker');
      await ctx.tx.query('update plinth_access.api_keys set last_used_at = clock_timestamp() where id::text = $1', [input.id]);
      return {};
    }),
};

const procedures = proceduresOf(all);

let server: TestServer;
let client: pg.Client;
let world: World;
let before: Record<string, string>;
/** When the set-up was done. */
let ready: Date;
/** Idempotency keys of A that B has not used in this test: under one of them a second call would be another call of B's own. */
let keysOfA: string[] = [];
beforeAll(async () => {
  console.log(`two-tenant fuzz: PLINTH_FUZZ_SEED=${seed}`);
  server = await testServer('fuzz', { api: { leaky }, keys: createKeyRing({ current: Buffer.alloc(32, 5).toString('base64') }) });
  client = new pg.Client({ connectionString: server.database.url });
  await client.connect();
  await server.call('/api/v1/me', { key: server.keyA });
  for (const [path, prepare] of Object.entries(ofA)) made.set(path, await prepare());
  await server.handler.settle();
  world = await populate(client, all, server.database.tenantA);
  before = await fingerprint(client, server.database.tenantB);
  keysOfA = [...(world.byColumn.get('key') ?? [])];
  ready = (await client.query<{ now: Date }>('select clock_timestamp() as now')).rows[0]?.now ?? new Date();
});
afterAll(async () => {
  await client.end();
  await server.close();
});
afterEach(async () => {
  expect(await fingerprint(client, server.database.tenantB), `something outside tenant B changed; PLINTH_FUZZ_SEED=${seed}`).toEqual(before);
  await forget(client, server.database.tenantB, ready);
  keysOfA = [...(world.byColumn.get('key') ?? [])];
});

/** What of A may stand in a field: values of columns of the same name, ids, and a few others. */
function victimsFor(field: string, most: number): string[] {
  const named = world.byColumn.get(field) ?? [];
  return [...new Set([...named.slice(0, 6), ...pickSome(random, world.ids, 6), ...pickSome(random, [...world.secrets], 2)])].slice(0, most);
}

/** Whatever of A is in the answer and was not in the question. */
const leaked = (answer: Answer, asked: string): string[] => [...world.secrets].filter((secret) => answer.text.includes(secret) && !asked.includes(secret));

async function attack(procedure: Procedure, input: Input, { field, holding }: Pick<Place, 'field' | 'holding'>, victim: string): Promise<void> {
  // A query has no room for lists and objects.
  const call = random() < 0.5 && (isBodied(procedure) || typeof holding(victim) === 'string') ? callRest : callRpc;
  const key = procedure.type === 'mutation' ? keysOfA.pop() : undefined;
  const headers: Record<string, string> = key ? { 'idempotency-key': key } : {};
  const missing = missingLike(victim, random);
  const ofA = await call(server, server.keyB, procedure, { ...input, [field]: holding(victim) }, headers);
  const ofNobody = await call(
    server,
    server.keyB,
    procedure,
    { ...inputFor(procedure.input as z.core.$ZodType), ...sameWords(input), [field]: holding(missing) },
    key ? { 'idempotency-key': crypto.randomUUID() } : {},
  );
  const about = `${procedure.path} with ${field} = ${victim}, as ${call === callRest ? 'REST' : 'tRPC'}; PLINTH_FUZZ_SEED=${seed}`;
  expect(leaked(ofA, JSON.stringify([input, victim, headers])), about).toEqual([]);
  expect(ofA.status, `${about}\n${ofA.text}`).toBeLessThan(500);
  expect(ofA.status, `${about}\n${ofA.text}\n${ofNobody.text}`).toBe(ofNobody.status);
  expect(normalised(ofA.text, missing, victim), about).toBe(normalised(ofNobody.text, missing, victim));
}

/** Where in the API a call looks must stay the same in both calls; what it writes must be new in each. */
const sameWords = ({ module, list }: Input): Input => (module === undefined ? {} : { module, list });

/** Inputs to start from: one, or one for each list where the procedure asks for a list. */
function startsOf({ input }: Procedure): Input[] {
  if (!input) return [];
  const fields = fieldsOf(input) ?? {};
  const one = inputFor(input);
  if (!one) return [];
  if (!('module' in fields && 'list' in fields)) return [one];
  return Object.entries(all).flatMap(([module, card]) =>
    Object.keys(card.lists ?? {}).map((list) => ({ ...one, module, list, ...('q' in fields ? { q: '' } : {}) })),
  );
}

const PLANTED = { field: 'id', holding: (value: string) => value };

describe('the fuzz itself', () => {
  const planted = (name: keyof typeof leaky): Procedure => ({
    path: `system.leaky.${name}`,
    type: name === 'read' ? 'query' : 'mutation',
    method: name === 'read' ? 'GET' : 'POST',
    template: '/leaky/{id}',
    operator: false,
    input: z.object({ id: z.string() }),
  });

  test('sees a row that leaks', async () => {
    const { rows } = await client.query<{ id: string }>('select id from plinth_audit.entries where tenant_id = $1', [server.database.tenantA]);
    await expect(attack(planted('read'), { id: '' }, PLANTED, rows[0]?.id ?? '')).rejects.toThrow(/leaky.read with id/);
  });

  test('sees a side effect', async () => {
    const { rows } = await client.query<{ id: string }>('select id from plinth_access.api_keys where tenant_id = $1', [server.database.tenantA]);
    await attack(planted('touch'), { id: '' }, PLANTED, rows[0]?.id ?? '');
    const after = await fingerprint(client, server.database.tenantB);
    expect(Object.keys(after).filter((table) => after[table] !== before[table])).toEqual(['plinth_access.api_keys']);
    before = after;
  });
});

describe('procedures', () => {
  test('there are many, and a valid input was found for each', () => {
    expect(procedures.length).toBeGreaterThan(25);
    expect(procedures.filter(({ input }) => input && !inputFor(input)).map(({ path }) => path)).toEqual([]);
    expect(world.ids.length).toBeGreaterThan(Object.keys(all).length);
  });

  test.each(procedures.filter(({ input }) => input).map((one) => [one.path, one] as const))('%s', async (_path, procedure) => {
    const input = procedure.input as z.core.$ZodType;
    let attacks = 0;
    const starts = startsOf(procedure);
    const places = placesIn(input).filter(({ field }) => !((field === 'module' || field === 'list') && 'module' in (starts[0] ?? {})));
    for (const start of starts) {
      for (const place of places) {
        for (const victim of victimsFor(place.name, starts.length > 1 ? 4 : 12)) {
          const fresh = { ...inputFor(input), ...sameWords(start), ...('q' in start ? { q: start.q } : {}) };
          if (!fits(input, { ...fresh, [place.field]: place.holding(victim) })) continue;
          await attack(procedure, fresh, place, victim);
          attacks += 1;
        }
      }
    }
    expect(attacks > 0 || places.length === 0, `${procedure.path} was never attacked; fields ${places.map(({ name }) => name).join()}`).toBe(true);
  });

  test.each(procedures.filter(({ type }) => type === 'query').map((procedure) => [procedure.path, procedure] as const))(
    '%s shows nothing of A when nothing is asked for',
    async (_path, procedure) => {
      for (const input of procedure.input ? startsOf(procedure) : [{}]) {
        for (const call of [callRest, callRpc]) {
          const answer = await call(server, server.keyB, procedure, input);
          expect(leaked(answer, JSON.stringify(input)), `${procedure.path} ${JSON.stringify(input)}`).toEqual([]);
          expect(answer.status, answer.text).toBeLessThan(500);
        }
      }
    },
  );

  test('exports and filters show nothing of A', async () => {
    for (const [module, card] of Object.entries(all)) {
      for (const [list, { filters }] of Object.entries(card.lists ?? {})) {
        const exported = await server.call(`/api/v1/exports/${module}/${list}?format=ndjson`, { key: server.keyB });
        expect([exported.status, leaked(exported, '')], `${module}/${list}`).toEqual([200, []]);
        for (const filter of ['id', ...filters]) {
          for (const victim of victimsFor(filter, 3)) {
            const q = `${filter}:"${victim.replaceAll(/["\\]/g, '\\$&')}"`;
            const found = await server.call(`/api/v1/lists/${module}/${list}?count=true&q=${encodeURIComponent(q)}`, { key: server.keyB });
            if (found.status === 400) continue;
            expect(leaked(found, victim), `${module}/${list} ${q}`).toEqual([]);
          }
        }
      }
    }
  });
});

async function make(method: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Record<string, string>> {
  const made = await server.call(`/api/v1${path}`, { method, key: server.keyA, body, headers });
  if (made.status >= 300) throw new Error(made.text);
  return made.body as Record<string, string>;
}

/** Makes something of A for each address that is no procedure, and tells the parameters that lead to it. The last of them is guessed at. */
const ofA: Record<string, () => Promise<Record<string, string>>> = {
  '/streams/{path}': async () => {
    await make('PUT', '/streams/of-tenant-a', 'told to nobody', { 'content-type': 'text/plain' });
    return { path: 'of-tenant-a' };
  },
  '/durable/events/{type}/{id}': async () => {
    await make('POST', '/events/streams/order/of-tenant-a', { events: [{ type: 'order.of_tenant_a', data: {} }] });
    return { type: 'order', id: 'of-tenant-a' };
  },
  '/durable/webhooks/{id}': async () => ({
    id: (await make('POST', '/webhooks/subscriptions', { name: 'pulled', patterns: ['order.*'], mode: 'pull' })).id ?? '',
  }),
  '/jobs/{id}/watch': async () => ({ id: (await make('POST', '/jobs', { kind: 'of.a' })).id ?? '' }),
};
const made = new Map<string, Record<string, string>>();

describe('addresses that are no procedures', () => {
  // Those without a credential are the same for everybody; lists are exported above, and /realtime names nothing of anybody.
  const asked = Object.entries(ownPaths()).filter(
    ([path, { get }]) => path.includes('{') && !path.startsWith('/exports/') && (get?.security as unknown[] | undefined)?.length,
  );

  const ask = (method: string, path: string, values: Record<string, string>, key: string): Promise<Response> =>
    server.handler(
      new Request(`http://plinth.test/api/v1${path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? '')}`, {
        method,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'text/plain' },
        ...(method === 'POST' ? { body: 'x' } : {}),
      }),
    );

  test.each(asked)('%s', async (path, operations) => {
    const values = made.get(path) ?? {};
    const guessed = Object.keys(values).at(-1);
    expect(guessed, `say in ofA what ${path} leads to`).toBeDefined();
    const victim = values[guessed ?? ''] ?? '';
    const missing = missingLike(victim, random);
    for (const method of Object.keys(operations).map((name) => name.toUpperCase())) {
      const ofAnother = await ask(method, path, values, server.keyB);
      const ofNobody = await ask(method, path, { ...values, [guessed ?? '']: missing }, server.keyB);
      const about = `${method} ${path} of ${victim}; PLINTH_FUZZ_SEED=${seed}`;
      expect(ofAnother.status, about).toBe(ofNobody.status);
      expect(normalised(await ofAnother.text(), victim), about).toBe(normalised(await ofNobody.text(), missing));
    }
    expect(await fingerprint(client, server.database.tenantB), `something outside tenant B changed; PLINTH_FUZZ_SEED=${seed}`).toEqual(before);
    const own = await ask('GET', path, values, server.keyA);
    expect(own.status, 'A has what was asked for').toBe(200);
    await own.body?.cancel();
    // That A's key was used is noted once a minute.
    await server.handler.settle();
    before = await fingerprint(client, server.database.tenantB);
  });
});

describe('public SQL functions', () => {
  test('called as B with what is A’s, they do what they do for what does not exist', async () => {
    const functions = await publicFunctions(client);
    expect(functions.length).toBeGreaterThan(80);
    const asB = new pg.Client({ connectionString: server.database.serverUrl });
    await asB.connect();
    try {
      for (const one of functions) {
        // With ids that lead nowhere most functions would say so before they look at what is A's.
        const own = await thingsOf(server.database, server.database.tenantB, `own_${one.name}`, 'https://example.org/own');
        await attackFunction(asB, one, own);
        expect(await fingerprint(client, server.database.tenantB), `${one.signature} changed something outside tenant B; PLINTH_FUZZ_SEED=${seed}`).toEqual(
          before,
        );
        await forget(client, server.database.tenantB, ready);
      }
    } finally {
      await asB.end();
    }
    // Every function with every id that A has: 45 s where the machine has other work, which a limit of a minute leaves no room for.
  }, 300_000);
});

const plainValue: Record<string, string> = {
  uuid: 'gen_random_uuid()',
  text: `'fresh.' || gen_random_uuid()`,
  integer: '1',
  smallint: '1',
  bigint: '1',
  boolean: 'true',
  jsonb: `'{}'`,
  json: `'{}'`,
  interval: `'1 day'`,
  'timestamp with time zone': 'now()',
};

/** A value of A in a parameter of this type; undefined where none fits. */
const holdingSql: Record<string, (value: string) => string> = {
  uuid: literal,
  text: literal,
  'uuid[]': (value) => `array[${literal(value)}]`,
  'text[]': (value) => `array[${literal(value)}]`,
};

async function attackFunction(asB: pg.Client, { name, signature, names, types, required }: SqlFunction, own: Record<string, readonly string[]>): Promise<void> {
  const usual = (index: number): string => {
    const value = own[names[index] ?? '']?.[0];
    return value === undefined ? (plainValue[types[index] ?? ''] ?? 'null') : literal(value);
  };
  for (const [index, type] of types.entries()) {
    const holding = holdingSql[type];
    if (!holding) continue;
    const victims = type.startsWith('uuid')
      ? [...new Set(world.ids)].filter((id) => id.length === 36)
      : pickSome(random, [...new Set([...world.secrets, ...world.ids])], 15);
    for (const victim of victims) {
      const missing = missingLike(victim, random);
      const run = (value: string, end?: 'commit') => {
        const given = names.flatMap((parameter, at) =>
          at === index || at < required ? [`${identifier(parameter)} => ${at === index ? holding(value) : usual(at)}::${types[at]}`] : [],
        );
        return outcome(asB, `select * from plinth.${identifier(name)}(${given.join(', ')})`, end);
      };
      const [ofA, ofNobody] = [await run(victim), await run(missing)];
      const about = `${signature}, parameter ${index + 1} = ${victim}; PLINTH_FUZZ_SEED=${seed}`;
      expect(
        [...world.secrets].filter((secret) => secret !== victim && ofA.text.includes(secret)),
        `${about}: ${ofA.text}`,
      ).toEqual([]);
      expect(normalised(ofA.text, missing, victim), about).toBe(normalised(ofNobody.text, missing, victim));
      // What is refused changes nothing.
      if (ofA.accepted) await run(victim, 'commit');
    }
  }
}

/** What a statement of B gives: its rows or its error. */
async function outcome(asB: pg.Client, text: string, end = 'rollback'): Promise<{ accepted: boolean; text: string }> {
  await asB.query(
    `begin; set local role plinth_app; set local plinth.tenant_id = ${literal(server.database.tenantB)}; set local plinth.actor_id = 'b'; set local statement_timeout = '10s'`,
  );
  try {
    return { accepted: true, text: JSON.stringify((await asB.query(text)).rows) };
  } catch (error) {
    const { code, message, detail } = error as pg.DatabaseError;
    return { accepted: false, text: JSON.stringify({ code, message, detail: detail ?? null }) };
  } finally {
    await asB.query(end);
  }
}
