/**
 * Calls under idempotency keys, and webhooks that come in, against a model: whatever is repeated, sent at once, changed, refused, hung up on or cut off, through two processes, takes
 * effect once for each key, caller and tenant. PLINTH_RUNS=20 for a long run, PLINTH_SEED to repeat one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '#kernel/log.ts';
import { signAs } from '#modules/webhooks';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { Handler } from './index.ts';
import { createHandler, createServices } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SEED = drawnSeed();
const ROUNDS = drawnRuns(1);
const STEPS = 120;

let server: TestServer;
let other: Plinth;
let handlers: Handler[];
/** By name, tenant and bearer: two of one tenant. */
const callers: { tenantId: string; key: string }[] = [];
const draw = seeded(SEED);
const below = (count: number): number => Math.floor(draw() * count);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;

beforeAll(async () => {
  server = await testServer('idempotency_model');
  const { database } = server;
  other = createPlinth({ database: { url: database.serverUrl } });
  const services = { ...createServices({}), log: createLog({ level: 'silent' }) };
  handlers = [server.handler, createHandler({ plinth: other, services })];
  const second = await server.makeKey(database.tenantA, ['*']);
  callers.push(
    { tenantId: database.tenantA, key: server.keyA },
    { tenantId: database.tenantA, key: second.secret },
    { tenantId: database.tenantB, key: server.keyB },
  );
});
afterAll(async () => {
  await handlers[1]?.settle();
  await other.close();
  await server.close();
});

interface Answer {
  status: number;
  body: Record<string, unknown>;
  replayed: boolean;
}
/** Through one process or the other; undefined: the caller hung up before there was an answer. */
async function send(path: string, headers: Record<string, string>, body: string, hangUp = false): Promise<Answer | undefined> {
  const abort = new AbortController();
  const request = new Request(`http://plinth.test${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
    signal: abort.signal,
  });
  const answering = Promise.resolve(pick(handlers)(request, { ip: '192.0.2.1' })).then(async (response) => ({
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    replayed: response.headers.get('idempotency-replayed') === 'true',
  }));
  if (hangUp) {
    for (let turns = below(6); turns > 0; turns--) await server.database.admin.query('select');
    abort.abort();
    return answering.then(
      () => undefined,
      () => undefined,
    );
  }
  return answering;
}
/** Connections that do something are cut off: whoever asked knows nothing. */
const cutOff = (): Promise<unknown> =>
  server.database.admin.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid() and usename = $1`,
    [new URL(server.database.serverUrl).username],
  );
const settled = async (): Promise<void> => void (await Promise.all(handlers.map((handler) => handler.settle())));

test(`a call takes effect once for each key of a caller, whatever happens to it (seed ${SEED})`, { timeout: 60_000 * (ROUNDS + 1) }, async () => {
  console.info(`idempotency model: seed ${SEED}`);
  const { admin } = server.database;
  const seen = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    /** By caller and key: what was asked first, and its answer; null: it is not known whether it was done. */
    const done = new Map<string, { name: string; answer: Record<string, unknown> | null }>();
    /** By tenant and name, how often it must have been done. */
    const effects = new Map<string, number>();
    const said: string[] = [];
    const about = (): string => `seed ${SEED} round ${round}: ${said.slice(-12).join('; ')}`;
    const call = (caller: number, key: string, name: string, hangUp = false, id?: string) =>
      send(
        '/api/v1/users',
        { authorization: `Bearer ${callers[caller]?.key}`, 'idempotency-key': key },
        JSON.stringify(
          pick([
            { name, ...(id ? { id } : {}), attributes: { exact: 1, nested: { a: null, b: [1, 2] } } },
            { attributes: { nested: { b: [1, 2], a: null }, exact: 1 }, ...(id ? { id } : {}), name },
          ]),
        ),
        hangUp,
      );
    const add = (caller: number, name: string): void => {
      const effect = `${callers[caller]?.tenantId} ${name}`;
      effects.set(effect, (effects.get(effect) ?? 0) + 1);
    };
    const judge = (caller: number, key: string, name: string, answer: Answer): void => {
      const slot = `${caller} ${key}`;
      const first = done.get(slot);
      const kind = !first ? 'first' : first.name !== name ? 'reused' : first.answer ? 'replayed' : 'either';
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (kind === 'reused') return void expect(answer, about()).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
      expect(answer.status, `${about()}: ${JSON.stringify(answer.body)}`).toBe(200);
      expect(answer.body, about()).toMatchObject({ name, attributes: { exact: 1, nested: { a: null, b: [1, 2] } } });
      if (kind === 'replayed') expect([answer.replayed, answer.body], about()).toEqual([true, first?.answer]);
      if (kind === 'first') expect(answer.replayed, about()).toBe(false);
      if (kind === 'first') add(caller, name);
      done.set(slot, { name, answer: answer.body });
    };
    for (let step = 0; step < STEPS; step++) {
      const nth = below(6);
      const [caller, key, name] = [below(callers.length), `r${round}k${nth}`, `r${round}n${pick([nth, nth, nth, below(6)])}`];
      const slot = `${caller} ${key}`;
      const what = below(100);
      if (what < 40) {
        said.push(`call ${slot} ${name}`);
        judge(caller, key, name, (await call(caller, key, name)) as Answer);
      } else if (what < 60) {
        const calls = Array.from({ length: 2 + below(5) }, () => pick([name, name, `r${round}n${below(6)}`]));
        said.push(`at once ${slot} ${calls}`);
        const answers = (await Promise.all(calls.map((one) => call(caller, key, one)))) as Answer[];
        const won = calls[answers.findIndex(({ status, replayed }) => status === 200 && !replayed)] ?? done.get(slot)?.name;
        if (!done.has(slot)) expect(answers.filter(({ status, replayed }) => status === 200 && !replayed).length, about()).toBe(1);
        // The one that did it comes first.
        for (const nth of answers
          .map((_, index) => index)
          .sort((x, y) => Number(answers[x]?.replayed) - Number(answers[y]?.replayed) || Number(calls[y] === won) - Number(calls[x] === won)))
          judge(caller, key, calls[nth] as string, answers[nth] as Answer);
      } else if (what < 70) {
        const id = `r${round}taken${step}`;
        said.push(`fails ${slot} ${name}`);
        await admin.query(`insert into plinth_access.users (tenant_id, id, name) values ($1, $2, 'taken')`, [callers[caller]?.tenantId, id]);
        const answer = (await call(caller, key, name, false, id)) as Answer;
        expect(answer.body.code, about()).toBe(done.has(slot) ? 'idempotency_key_reused' : 'access_user_exists');
      } else if (what < 85) {
        said.push(`hangs up ${slot} ${name}`);
        const unknown =
          what < 80 ? call(caller, key, name, true) : Promise.all([call(caller, key, name).catch(() => undefined), admin.query('select').then(cutOff)]);
        await unknown;
        await settled();
        if (done.has(slot)) continue;
        // Asked again it is done now, or it was.
        const again = (await call(caller, key, name)) as Answer;
        seen.set(again.replayed ? 'had been done' : 'had not', (seen.get(again.replayed ? 'had been done' : 'had not') ?? 0) + 1);
        expect(again.status, `${about()}: ${JSON.stringify(again.body)}`).toBe(200);
        add(caller, name);
        done.set(slot, { name, answer: again.body });
      } else if (what < 93) {
        said.push(`expires ${slot}`);
        await admin.query('update plinth_idempotency.keys set expires_at = now() where key = $1 and tenant_id = $2 and scope like $3', [
          key,
          callers[caller]?.tenantId,
          '%',
        ]);
        for (const [index, one] of callers.entries()) if (one.tenantId === callers[caller]?.tenantId) done.delete(`${index} ${key}`);
      } else {
        const { rows } = await admin.query<{ effect: string; n: number }>(
          `select tenant_id || ' ' || name as effect, count(*)::int as n from plinth_access.users where name like $1 group by 1`,
          [`r${round}n%`],
        );
        expect(Object.fromEntries(rows.map(({ effect, n }) => [effect, n])), about()).toEqual(Object.fromEntries(effects));
      }
    }
    const { rows } = await admin.query<{ effect: string; n: number }>(
      `select tenant_id || ' ' || name as effect, count(*)::int as n from plinth_access.users where name like $1 group by 1`,
      [`r${round}n%`],
    );
    expect(Object.fromEntries(rows.map(({ effect, n }) => [effect, n])), about()).toEqual(Object.fromEntries(effects));
  }
  console.info(`idempotency model: ${JSON.stringify(Object.fromEntries(seen))}`);
});

test(`a webhook that comes in takes effect once for each message of a source, whatever happens to it (seed ${SEED})`, {
  timeout: 60_000 * (ROUNDS + 1),
}, async () => {
  const { admin, tenantA, tenantB } = server.database;
  const sources: { id: string; tenantId: string; name: string; secrets: string[]; enabled: boolean }[] = [];
  for (const [tenantId, key, name] of [
    [tenantA, server.keyA, 'billing'],
    [tenantA, server.keyA, 'shop'],
    [tenantB, server.keyB, 'billing'],
  ] as const) {
    const secret = `a secret of ${name} ${tenantId}`;
    const made = await server.call('/api/v1/webhooks/sources', { method: 'POST', key, body: { name, profile: 'stripe', secret } });
    sources.push({ id: (made.body as { id: string }).id, tenantId, name, secrets: [secret], enabled: true });
  }
  const taken = new Set<string>();
  const said: string[] = [];
  const about = (): string => `seed ${SEED}: ${said.slice(-12).join('; ')}`;
  for (let step = 0; step < STEPS * ROUNDS; step++) {
    const source = pick(sources);
    const id = `m${below(12)}-${Math.floor(step / STEPS)}`;
    const slot = `${source.tenantId} ${source.name} ${id}`;
    const body = JSON.stringify({ id, type: 'invoice.paid', content: below(3) });
    const signedBy = (secret: string) =>
      signAs('stripe', [secret], { id, type: '', timestampSeconds: Math.floor(server.database.plinth.clock.now() / 1000), body });
    const post = (hangUp = false, secret = pick(source.secrets)) => send(`/api/v1/webhooks/inbound/${source.id}`, signedBy(secret), body, hangUp);
    const expectOf = (answers: readonly (Answer | undefined)[]): void => {
      const firsts = answers.filter((answer) => answer?.status === 202);
      expect(
        answers.map((answer) => answer?.status).filter((status) => status !== 200 && status !== 202),
        about(),
      ).toEqual([]);
      expect(firsts.length, about()).toBe(taken.has(slot) ? 0 : 1);
      for (const answer of answers) expect(answer?.body, about()).toMatchObject({ id, duplicate: answer?.status === 200 });
      taken.add(slot);
    };
    const what = below(100);
    said.push(`${what} ${slot}`);
    if (!source.enabled || what >= 90) {
      if (what < 80) {
        expect(await post(), about()).toMatchObject({ status: 409 });
        continue;
      }
      source.enabled = !source.enabled;
      const key = source.tenantId === tenantA ? server.keyA : server.keyB;
      expect(
        (await server.call(`/api/v1/webhooks/sources/${source.id}/${source.enabled ? 'enable' : 'disable'}`, { method: 'POST', key })).status,
        about(),
      ).toBe(200);
    } else if (what < 40) expectOf([await post()]);
    else if (what < 60) expectOf(await Promise.all(Array.from({ length: 2 + below(4) }, () => post())));
    else if (what < 70) expect(await post(false, pick(sources.filter((one) => one !== source)).secrets[0]), about()).toMatchObject({ status: 401 });
    else if (what < 85) {
      if (what < 80) await post(true);
      else await Promise.all([post().catch(() => undefined), admin.query('select').then(cutOff)]);
      await settled();
      if (!taken.has(slot) && (await post())?.status) taken.add(slot);
    } else {
      const secret = `another secret ${step} of ${source.name}`;
      const key = source.tenantId === tenantA ? server.keyA : server.keyB;
      const overlap = pick([0, 3600]);
      await server.call(`/api/v1/webhooks/sources/${source.id}/rotate-secret`, { method: 'POST', key, body: { secret, overlap_seconds: overlap } });
      // The newest five count.
      source.secrets = overlap === 0 ? [secret] : [secret, ...source.secrets].slice(0, 5);
    }
  }
  const { rows } = await admin.query<{ effect: string; n: number }>(
    `select tenant_id || ' ' || split_part(type, '.', 1) || ' ' || (payload ->> 'id') as effect, count(*)::int as n from plinth_events.events where type like '%.invoice.paid' group by 1`,
  );
  expect(
    rows.filter(({ n }) => n !== 1),
    about(),
  ).toEqual([]);
  expect(rows.map(({ effect }) => effect).sort(), about()).toEqual([...taken].sort());
});
