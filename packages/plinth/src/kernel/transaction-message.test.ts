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
