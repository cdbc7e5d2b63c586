/** Transactions of effects alone, which are one message without BEGIN and COMMIT. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../index.ts';

const database = await testDatabase('message');
const { tenantA, tenantB, admin } = database;
beforeAll(() =>
  admin.query(`create table public.seen (id text, isolation text, tenant text, role text); grant all on public.seen to plinth_app;
    create function public.see() returns trigger language plpgsql as $$ begin
      insert into public.seen values (new.aggregate_id, current_setting('transaction_isolation'), current_setting('plinth.tenant_id'), current_user);
      return new;
    end $$;
    create function public.refuse() returns trigger language plpgsql as $$ begin
      if new.aggregate_id = 'late' then raise exception 'too late' using errcode = '23514'; end if;
      return null;
    end $$;
    create trigger see before insert on plinth_events.streams for each row execute function public.see();
    create constraint trigger refuse after insert on plinth_events.streams deferrable initially deferred for each row execute function public.refuse()`),
);
beforeEach(() => admin.query('truncate public.seen'));
afterAll(() => database.drop());

const urlWith = (isolation: string): string => {
  const url = new URL(database.serverUrl);
  url.searchParams.set('options', `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`);
  return url.href;
};
const append = (plinth: typeof database.plinth, tenantId: string, id: string): Promise<unknown> =>
  plinth.transaction({ tenantId }, async (tx) => tx.events.append({ type: 'note', id }, [{ type: 'note.made', data: { id } }]));
const events = async (): Promise<unknown[]> =>
  (await admin.query('select tenant_id, aggregate_id as id from plinth_events.events where aggregate_type = $1 order by position', ['note'])).rows;

test.each(['read committed', 'repeatable read', 'serializable'])(
  'is read committed where sessions begin in %s, with its tenant and role',
  async (isolation) => {
    const one = createPlinth({ database: { url: urlWith(isolation), max: 1 } });
    try {
      const ids = [1, 2, 3].map((n) => `${isolation} ${n}`);
      for (const [index, id] of ids.entries()) await append(one, index === 1 ? tenantB : tenantA, id);
      expect((await admin.query('select * from public.seen order by id')).rows).toEqual(
        ids.map((id, index) => ({ id, isolation: 'read committed', tenant: index === 1 ? tenantB : tenantA, role: 'plinth_app' })),
      );
      const { rows } = await one.pool.query(`select current_user as role, nullif(current_setting('plinth.tenant_id', true), '') as tenant`);
      expect(rows).toEqual([{ role: new URL(database.serverUrl).username, tenant: null }]);
    } finally {
      await one.close();
    }
  },
);

test('rows that bring their context are sent with the tenant alone, a document with all of it', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const context = { tenantId: tenantA, actor: { type: 'user', id: 'ana' }, correlationId: '018f0000-0000-7000-8000-0000000000ce', reason: 'asked' } as const;
  const settings = async () => {
    const { rows } = await one.pool.query<{
      settings: string[];
    }>(`select array(select s[1] from regexp_matches(statement, $$set_config[(]'([a-z_.]+)'$$, 'g') as s) as settings
      from pg_prepared_statements where statement like '%set_config%' order by prepare_time`);
    return rows.map((row) => row.settings);
  };
  try {
    const record = (count: number) =>
      one.transaction(context, async (tx) => {
        for (let n = 0; n < count; n++) tx.audit.record({ action: 'note.made', entityType: 'note', entityId: `${count} ${n}` });
      });
    await record(2);
    expect(await settings()).toEqual([['role', 'plinth.tenant_id', 'transaction_isolation']]);
    await record(5);
    const all = ['role', 'plinth.tenant_id', 'plinth.actor_type', 'plinth.actor_id', 'plinth.correlation_id', 'plinth.reason', 'transaction_isolation'];
    expect((await settings())[1]).toEqual(all);
    const { rows } = await admin.query(
      `select actor_type, actor_id, correlation_id, reason, count(*)::integer as rows from plinth_audit.entries where correlation_id = $1 group by 1, 2, 3, 4`,
      [context.correlationId],
    );
    expect(rows).toEqual([{ actor_type: 'user', actor_id: 'ana', correlation_id: context.correlationId, reason: 'asked', rows: 7 }]);
  } finally {
    await one.close();
  }
});

test('what is only refused at its end writes nothing, and its connection serves others without a warning', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const warnings: unknown[] = [];
  one.pool.on('connect', (client) => void client.on('notice', (notice) => warnings.push(notice.message)));
  try {
    await append(one, tenantA, 'before');
    const before = await events();
    await expect(append(one, tenantA, 'late')).rejects.toMatchObject({ cause: { message: 'too late' } });
    // Several effects are searched for the one at fault, on the same connection.
    const several = one.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'note.made', entityType: 'note', entityId: 'two' });
      tx.events.append({ type: 'note', id: 'before' }, [{ type: 'note.made' }], { expectedVersion: 7 });
    });
    await expect(several).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect_index: 1, effect_code: 'events_version_conflict' } });
    expect(await events()).toEqual(before);
    await append(one, tenantA, 'after');
    expect((await events()).slice(before.length)).toEqual([{ tenant_id: tenantA, id: 'after' }]);
    expect(warnings).toEqual([]);
  } finally {
    await one.close();
  }
});
