/**
 * Who may do what, against a model: two processes with what each believes of keys and members, REST and tRPC, keys, tokens, console sessions and operators, while all of these
 * are changed through either process and by SQL, also twice at once. What is allowed is what the model says, at once in the process that made a change and 30 s later in the
 * other, and all of it is in the audit log. PLINTH_RUNS=100 for a long run.
 */
import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { Caller, Credential, Done, Member } from './access-model.fixture.ts';
import { Access, BUILT_IN_NAMES, mayDo, NO_TENANT, Refusal } from './access-model.fixture.ts';
import type { Handler } from './index.ts';
import { createHandler, createServices, ensureAdminKey } from './index.ts';

const SEED = drawnSeed();
const STEPS = 100;
const BELIEVED_MS = 30_000;
const SECRET = 'a secret of a test that is longer than 32 bytes';
const PERMISSIONS = [
  'access.read',
  'access.admin',
  'access.*',
  'jobs.write',
  '*.write',
  '*.read',
  '*.admin',
  'tenants.read',
  'tenants.*',
  'operators.admin',
  '*',
];

let database: TestDatabase;
let processes: { plinth: Plinth; handler: Handler }[];
let root: Extract<Credential, { kind: 'key' }>;
/** How far all clocks have gone on, those of the processes and, by what the rows say, that of the database. */
let aheadMs = 0;
const now = (): number => Date.now() + aheadMs;
beforeAll(async () => {
  const monotonic = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => monotonic() + aheadMs);
  database = await testDatabase('access_model');
  processes = [1, 2].map(() => {
    const plinth = createPlinth({ database: { url: database.serverUrl }, clock: { now } });
    const services = createServices({ log: { level: 'silent' } });
    return { plinth, handler: createHandler({ plinth, services, auth: { jwt: { secret: SECRET }, sessionSecret: 's'.repeat(40) } }) };
  });
  const { id, secret = '' } = await ensureAdminKey(database.plinth);
  root = { kind: 'key', id, secret, cookie: undefined };
});
afterAll(async () => {
  vi.restoreAllMocks();
  for (const { handler, plinth } of processes) {
    await handler.settle();
    await plinth.close();
  }
  await database.drop();
});

const next = seeded(SEED);
const random = (below: number): number => Math.floor(next() * below);
const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
const some = <T>(of: readonly T[], most: number): T[] => [...new Set(Array.from({ length: 1 + random(most) }, () => pick(of)))];
const chance = (of: number): boolean => random(of) === 0;

interface Action {
  rest: [method: string, path: string];
  trpc: string;
  permission: string;
  operator?: boolean;
  input?: Record<string, unknown>;
  /** With the answer when there is one. */
  done(state: Access, caller: Caller, made: { id: string; secret: string }): Done | undefined;
}
interface Asked {
  action: Action;
  credential: Credential;
  process: number;
  door: 'rest' | 'trpc';
  tenantId: string | undefined;
  reason: string | undefined;
}
const request = (method: string, path: string, trpc: string, permission: string, input: Record<string, unknown>, operator = false): Omit<Action, 'done'> => ({
  rest: [method, path],
  trpc,
  permission,
  operator,
  input,
});
const seen = new Map<string, number>();
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
const sorted = (texts: readonly string[]): string[] => texts.toSorted();

async function ask({ action, credential, process, door, tenantId, reason }: Asked): Promise<{ code: string; made: { id: string; secret: string } }> {
  const [method, path] =
    door === 'rest' ? action.rest : [action.rest[0] === 'GET' ? 'GET' : 'POST', `${action.trpc}${action.rest[0] === 'GET' ? '?input={}' : ''}`];
  const secret = credential.kind === 'key' ? credential.secret : credential.jwt;
  const cookie = credential.kind === 'key' ? credential.cookie : undefined;
  const response = await (processes[process] as { handler: Handler }).handler(
    new Request(`http://plinth.test/api/${door === 'rest' ? 'v1' : 'trpc'}${door === 'rest' ? path : `/system.${path}`}`, {
      method,
      headers: {
        ...(cookie ? { cookie, 'sec-fetch-site': 'same-origin' } : { authorization: `Bearer ${secret}` }),
        ...(tenantId ? { 'x-plinth-tenant': tenantId } : {}),
        ...(reason ? { 'x-plinth-reason': reason } : {}),
        ...(method === 'GET' ? {} : { 'content-type': 'application/json' }),
      },
      ...(method === 'GET' ? {} : { body: JSON.stringify(action.input ?? {}) }),
    }),
    { ip: '192.0.2.1' },
  );
  const body = (await response.json()) as { code?: string; error?: { data: { problem: { code: string } } }; result?: { data: unknown } };
  if (response.status < 300) return { code: 'done', made: (body.result?.data ?? body) as { id: string; secret: string } };
  return { code: body.error?.data.problem.code ?? body.code ?? '', made: { id: '', secret: '' } };
}

class World {
  state = new Access();
  /** What was true before, and until when. */
  history: { state: Access; untilMs: number }[] = [];
  /** From which of these on a process may believe. */
  readonly from = [0, 0];
  readonly credentials: Credential[] = [];
  /** Since the beginning, of all runs. */
  static readonly entries: string[] = [];
  static readonly noted = new Set<string>();

  changed(before: Access, by: number | undefined): void {
    this.history.push({ state: before, untilMs: now() });
    if (by !== undefined) this.from[by] = this.history.length;
  }

  /** As whom a process may take the credential, or why it is refused. What is refused is never believed: only who was let in may still be. */
  callers(asked: Asked): (Caller | string)[] {
    const as = (state: Access): Caller | string => {
      try {
        const caller = state.caller(asked.credential, now());
        return caller.operator ? { ...caller, tenantId: asked.tenantId } : caller;
      } catch (error) {
        if (error instanceof Refusal) return error.message;
        throw error;
      }
    };
    const before = this.history.slice(this.from[asked.process]).filter(({ untilMs }) => now() - untilMs < BELIEVED_MS);
    return [as(this.state), ...before.map(({ state }) => as(state)).filter((caller) => typeof caller !== 'string')];
  }

  /** What a call does for a caller, on a copy. */
  outcome(
    state: Access,
    { action, reason }: Asked,
    caller: Caller | string,
    made = { id: 'made', secret: '' },
  ): { code: string; state: Access; done?: Done | undefined; runs: boolean } {
    const refused = (code: string, runs = false) => ({ code, state, runs });
    if (typeof caller === 'string') return refused(caller);
    if (action.operator && !caller.operator) return refused('kernel_operator_required');
    if (!mayDo(caller.scopes, action.permission)) return refused('kernel_forbidden');
    if (!action.operator && !caller.tenantId) return refused('kernel_tenant_required');
    // Records of a tenant; those of the installation need none.
    if (caller.operator && !action.operator && !reason) return refused('kernel_reason_required');
    const after = state.copy();
    try {
      return { code: 'done', state: after, done: action.done(after, caller, made), runs: true };
    } catch (error) {
      if (error instanceof Refusal) return refused(error.message, true);
      throw error;
    }
  }

  #note(asked: Asked, caller: Caller): void {
    if (!caller.operator || asked.action.operator || !asked.reason) return;
    const mark = `${caller.tenantId ?? NO_TENANT} ${caller.actor.slice('operator:'.length)} ${asked.reason}`;
    if (!World.noted.has(mark) && caller.tenantId) World.entries.push(`${caller.tenantId} operator.accessed ${caller.tenantId} ${caller.actor}`);
    World.noted.add(mark);
  }

  async take(asked: Asked): Promise<void> {
    const { code, made } = await ask(asked);
    const callers = this.callers(asked);
    const said = JSON.stringify({ seed: SEED, ...asked, made });
    const caller = callers.find((one) => this.outcome(this.state, asked, one).code === code);
    expect(
      callers.map((one) => this.outcome(this.state, asked, one).code),
      said,
    ).toContain(code);
    count(code === 'done' ? asked.action.trpc : code);
    if (caller !== callers[0]) count('believed');
    if (caller === undefined || typeof caller === 'string') return;
    const { done, state, runs } = this.outcome(this.state, asked, caller, made);
    if (runs) this.#note(asked, caller);
    if (code !== 'done' || !done) return;
    this.changed(this.state, asked.process);
    this.state = state;
    World.entries.push(...done.entries.map((entry) => `${entry} ${caller.actor}`));
    if (made.secret) await this.adopt(made, asked.process);
  }

  async adopt({ id, secret }: { id: string; secret: string }, process: number): Promise<void> {
    this.credentials.push({ kind: 'key', id, secret, cookie: undefined });
    const usable = chance(2) && typeof this.callers({ credential: { kind: 'key', id, secret, cookie: undefined }, process } as Asked)[0] !== 'string';
    if (!usable) return;
    const response = await (processes[process] as { handler: Handler }).handler(
      new Request('http://plinth.test/api/v1/console/login', {
        method: 'POST',
        headers: { origin: 'http://plinth.test', 'content-type': 'application/json' },
        body: JSON.stringify({ key: secret }),
      }),
      { ip: '192.0.2.1' },
    );
    expect(response.status).toBe(200);
    this.credentials.push({ kind: 'key', id, secret, cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '' });
  }

  /** Time goes by for the processes, and as much for what the database keeps. */
  async later(byMs: number): Promise<void> {
    aheadMs += byMs;
    for (const table of ['api_keys', 'operator_keys'])
      await database.admin.query(`update plinth_access.${table} set expires_at = expires_at - $1 * interval '1 millisecond' where expires_at is not null`, [
        byMs,
      ]);
  }

  /** Two at once, of the root operator, one through each process: as if one had come after the other. */
  async both(actions: readonly [Action, Action], tenantId: string): Promise<void> {
    const asked = actions.map(
      (action, process): Asked => ({ action, credential: root, process, door: 'rest', tenantId: action.operator ? undefined : tenantId, reason: 'both' }),
    );
    const answers = await Promise.all(asked.map(ask));
    for (const one of asked) this.#note(one, this.callers(one)[0] as Caller);
    const rows = await this.audited();
    const orders = [
      [0, 1],
      [1, 0],
    ].flatMap((order) => {
      const entries: string[] = [];
      const codes: string[] = [];
      let { state } = this;
      for (const n of order) {
        const one = asked[n] as Asked;
        const outcome = this.outcome(state, one, this.callers(one)[0] as Caller, answers[n]?.made);
        state = outcome.state;
        codes[n] = outcome.code;
        entries.push(...(outcome.done?.entries ?? []).map((entry) => `${entry} operator:${root.id}`));
      }
      return [{ state, codes, entries }];
    });
    const found = { codes: answers.map(({ code }) => code), rows: sorted(rows), stored: await this.stored() };
    const expected = orders.map(({ state, codes, entries }) => ({ codes, rows: sorted([...World.entries, ...entries]), stored: this.told(state) }));
    const which = expected.findIndex((one) => JSON.stringify(one) === JSON.stringify(found));
    if (which < 0) expect(found, `seed ${SEED}: ${JSON.stringify(actions)}`).toEqual(expected[0]);
    const order = orders[which] as (typeof orders)[number];
    World.entries.push(...order.entries);
    this.changed(this.state, undefined);
    this.state = order.state;
    for (const { made } of answers) if (made.secret) this.credentials.push({ kind: 'key', ...made, cookie: undefined });
    count('both');
  }

  audited = async (): Promise<string[]> =>
    (
      await database.admin.query<{ text: string }>(
        `select tenant_id || ' ' || action || ' ' || entity_id || ' ' || actor_type || ':' || actor_id as text from plinth_audit.entries
         where action ~ '^(user|role|api_key|operator_key|operator|tenant)[.]' and entity_id <> $1`,
        [root.id],
      )
    ).rows.map(({ text }) => text);

  async check(): Promise<void> {
    expect(sorted(await this.audited()), `seed ${SEED}`).toEqual(sorted(World.entries));
    const { rows: looks } = await database.admin.query<{ text: string }>(
      `select tenant_id || ' ' || operator_id || ' ' || reason as text from plinth_access.operator_access`,
    );
    expect(sorted(looks.map(({ text }) => text)), `seed ${SEED}`).toEqual(sorted([...World.noted]));
    expect(await this.stored(), `seed ${SEED}`).toEqual(this.told(this.state));
  }

  /** Of each tenant, as it sees itself. */
  async stored(): Promise<unknown> {
    const found: unknown[] = [];
    for (const tenantId of this.state.tenants.keys())
      found.push(
        await database.plinth.transaction({ tenantId }, async (tx) => ({
          tenant: await tx.query('select id, status from plinth_kernel.tenants'),
          members: await tx.query('select id, roles, status from plinth.users order by id'),
          roles: await tx.query('select name, permissions from plinth.roles order by name'),
          keys: await tx.query('select id, scopes, status from plinth.api_keys order by id'),
        })),
      );
    return found;
  }

  told(state: Access): unknown {
    const status = (key: { revoked: boolean; expiresAt: number | undefined }) =>
      key.revoked ? 'revoked' : (key.expiresAt ?? Number.POSITIVE_INFINITY) <= now() ? 'expired' : 'active';
    const by = <T>(rows: Iterable<[string, T]>): [string, T][] => [...rows].sort(([x], [y]) => (x < y ? -1 : 1));
    return [...state.tenants].map(([tenantId, tenant]) => ({
      tenant: [{ id: tenantId, status: tenant.status }],
      members: by(tenant.members).map(([id, { roles, status: is }]) => ({ id, roles, status: is })),
      roles: by(tenant.roles).map(([name, permissions]) => ({ name, permissions })),
      keys: by(state.keys)
        .filter(([, key]) => key.tenantId === tenantId)
        .map(([id, key]) => ({ id, scopes: key.scopes, status: status(key) })),
    }));
  }
}

/** One of all that can be asked, about a tenant. */
function action(world: World, tenantId: string): Action {
  const keys = [...world.state.keys.values()].filter(({ id }) => id !== root.id);
  const keyId = (pick(keys.filter((key) => key.tenantId !== undefined)) ?? { id: root.id }).id;
  const operatorId = (pick(keys.filter((key) => key.tenantId === undefined)) ?? { id: NO_TENANT }).id;
  const [userId, role, scopes, lifeMs] = [
    pick(['u1', 'u2', 'u3']),
    pick(['auditor', 'clerk', 'viewer']),
    some(PERMISSIONS, 3),
    pick([undefined, undefined, 300_000, 3_600_000]),
  ];
  const member: Member = { roles: some([...BUILT_IN_NAMES, 'auditor', 'clerk'], 2), status: pick(['active', 'active', 'invited', 'suspended']) };
  const [overlap, status] = [pick([0, 60, 900]), pick(['active', 'active', 'active', 'suspended', 'closed'] as const)];
  const expires = (): object => (lifeMs === undefined ? {} : { expires_at: new Date(Date.now() + lifeMs).toISOString() });
  const of = (one: Caller): string => one.tenantId ?? '';
  const admin = 'access.admin';
  return pick<() => Action>([
    () => ({ rest: ['GET', '/roles'], trpc: 'access.roles.list', permission: 'access.read', done: () => undefined }),
    () => ({ rest: ['GET', '/roles'], trpc: 'access.roles.list', permission: 'access.read', done: () => undefined }),
    () => ({ rest: ['POST', '/jobs'], trpc: 'jobs.enqueue', permission: 'jobs.write', input: { kind: 'k' }, done: () => undefined }),
    () => ({ rest: ['GET', '/tenants'], trpc: 'access.tenants.list', permission: 'tenants.read', operator: true, done: () => undefined }),
    () => ({
      ...request('POST', '/keys', 'access.keys.create', admin, { name: 'k', scopes, ...expires() }),
      done: (state, caller, { id }) => state.makeKey(caller, id, of(caller), scopes, lifeMs, now()),
    }),
    () => ({
      ...request('POST', `/keys/${keyId}/rotate`, 'access.keys.rotate', admin, { id: keyId, overlap_seconds: overlap }),
      done: (state, caller, { id }) => state.rotate(caller, keyId, id, of(caller), overlap * 1000, now()),
    }),
    () => ({
      ...request('DELETE', `/keys/${keyId}`, 'access.keys.revoke', admin, { id: keyId }),
      done: (state, caller) => state.revoke(keyId, of(caller)),
    }),
    () => ({
      ...request('POST', '/users', 'access.users.create', admin, { id: userId, ...member }),
      done: (state, caller) => state.putMember(caller, of(caller), userId, member, 'create'),
    }),
    () => ({
      ...request('PATCH', `/users/${userId}`, 'access.users.update', admin, { id: userId, ...member }),
      done: (state, caller) => state.putMember(caller, of(caller), userId, member, 'update'),
    }),
    () => ({
      ...request('DELETE', `/users/${userId}`, 'access.users.remove', admin, { id: userId }),
      done: (state, caller) => state.removeMember(caller, of(caller), userId),
    }),
    () => ({
      ...request('PUT', `/roles/${role}`, 'access.roles.put', admin, { name: role, permissions: scopes }),
      done: (state, caller) => state.putRole(caller, of(caller), role, scopes),
    }),
    () => ({
      ...request('DELETE', `/roles/${role}`, 'access.roles.remove', admin, { name: role }),
      done: (state, caller) => state.removeRole(caller, of(caller), role),
    }),
    () => ({
      ...request('PATCH', `/tenants/${tenantId}`, 'access.tenants.update', 'tenants.write', { id: tenantId, status }, true),
      done: (state) => state.setStatus(tenantId, status),
    }),
    () => ({
      ...request('POST', '/operators/keys', 'access.operators.keys.create', 'operators.admin', { name: 'o', scopes, ...expires() }, true),
      done: (state, caller, { id }) => state.makeKey(caller, id, undefined, scopes, lifeMs, now()),
    }),
    () => ({
      ...request('DELETE', `/operators/keys/${operatorId}`, 'access.operators.keys.revoke', 'operators.admin', { id: operatorId }, true),
      done: (state) => state.revoke(operatorId, undefined),
    }),
  ])();
}

const BODY_FREE = ['id', 'name'];
/** REST has in its path what tRPC has in its input. */
const shaped = (asked: Asked): Asked => {
  const { action: one, door } = asked;
  const inPath = door === 'rest' && !['POST /users', 'POST /keys', 'POST /operators/keys', 'POST /jobs'].includes(one.rest.join(' '));
  return inPath
    ? { ...asked, action: { ...one, input: Object.fromEntries(Object.entries(one.input ?? {}).filter(([name]) => !BODY_FREE.includes(name))) } }
    : asked;
};

async function token(tenantId: string, userId: string): Promise<Credential> {
  const roles = chance(2) ? some([...BUILT_IN_NAMES, 'auditor'], 2) : undefined;
  const expiresAtS = Math.floor(now() / 1000) + pick([200, 4000, 4000, 4000]);
  const jwt = await new SignJWT({ tenant_id: tenantId, sub: userId, exp: expiresAtS, ...(roles ? { roles } : {}) })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET));
  return { kind: 'token', jwt, tenantId, userId, roles, expiresAtS };
}

async function begin(run: number): Promise<World> {
  const world = new World();
  world.state.keys.set(root.id, { id: root.id, tenantId: undefined, scopes: ['*'], revoked: false, expiresAt: undefined, lifeMs: undefined });
  world.credentials.push(root, root);
  for (const name of ['a', 'b']) {
    const create: Action = {
      ...request('POST', '/tenants', 'access.tenants.create', 'tenants.write', { slug: `${name}-${run}`, name }, true),
      done: (state, _, { id }) => {
        state.tenants.set(id, { status: 'active', members: new Map(), roles: new Map() });
        return { entries: [`${id} tenant.created ${id}`] };
      },
    };
    await world.take({ action: create, credential: root, process: random(2), door: 'rest', tenantId: undefined, reason: 'both' });
  }
  for (const tenantId of world.state.tenants.keys()) for (const userId of ['u1', 'u2', 'u3', 'stranger']) world.credentials.push(await token(tenantId, userId));
  return world;
}

async function step(world: World): Promise<void> {
  const tenantId = pick([...world.state.tenants.keys()]);
  if (chance(8)) return world.later(pick([10_000, 31_000, 31_000, 433_000]));
  if (chance(10)) {
    const [one, other] = [action(world, tenantId), action(world, tenantId)];
    const again = chance(2) ? { ...one } : other;
    return world.both([shaped({ action: one, door: 'rest' } as Asked).action, shaped({ action: again, door: 'rest' } as Asked).action], tenantId);
  }
  if (chance(15)) {
    const key = pick([...world.state.keys.values()].filter((one) => one.tenantId !== undefined));
    if (!key) return;
    // By SQL of the application, which no process hears of.
    await database.plinth.transaction({ tenantId: key.tenantId }, (tx) =>
      tx.query('update plinth_access.api_keys set revoked_at = clock_timestamp() where id = $1', [key.id]),
    );
    const after = world.state.copy();
    after.revoke(key.id, key.tenantId);
    world.changed(world.state, undefined);
    world.state = after;
    return count('by SQL');
  }
  if (chance(6)) world.credentials.push(await token(tenantId, pick(['u1', 'u2', 'u3'])));
  const credential = chance(3) ? root : pick(world.credentials.slice(-8));
  const expiresAt = credential.kind === 'key' ? world.state.keys.get(credential.id)?.expiresAt : credential.expiresAtS * 1000 + 60_000;
  // Nobody can tell a second before what it will be.
  if (expiresAt && Math.abs(expiresAt - now()) < 5_000) return;
  const one = action(world, tenantId);
  const operator = credential.kind === 'key' && world.state.keys.get(credential.id)?.tenantId === undefined;
  const into = operator && !one.operator && !chance(12) ? tenantId : undefined;
  const reason = chance(12) ? undefined : pick(['looks', 'both']);
  await world.take(shaped({ action: one, credential, process: random(2), door: pick(['rest', 'trpc']), tenantId: into, reason }));
}

test(`what is allowed is what the model says, in both processes and through every door, and it is audited (seed ${SEED})`, { timeout: 600_000 }, async () => {
  console.info(`seed ${SEED}`);
  for (let run = 0; run < drawnRuns(8); run++) {
    const world = await begin(run);
    for (let n = 0; n < STEPS; n++) await step(world);
    await world.check();
    // By now each process has heard of everything.
    await world.later(BELIEVED_MS + 1_000);
    for (const credential of world.credentials)
      for (const process of [0, 1]) {
        const list: Action = { rest: ['GET', '/roles'], trpc: 'access.roles.list', permission: 'access.read', done: () => undefined };
        const tenantId =
          credential.kind === 'key' && world.state.keys.get(credential.id)?.tenantId === undefined ? pick([...world.state.tenants.keys()]) : undefined;
        await world.take({ action: list, credential, process, door: 'rest', tenantId, reason: 'both' });
      }
    await world.check();
  }
  console.info(JSON.stringify(Object.fromEntries(seen)));
});
