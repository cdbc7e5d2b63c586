/** Projections of one row an event, and one look at them and the log, for projections-model.test.ts. */
import type { Projection } from '#kernel/projection.ts';
import { defineProjection } from '#kernel/projection.ts';

export const KINDS = ['async', 'inline'] as const;
export type Kind = (typeof KINDS)[number];

export const TABLES = `create schema model; grant usage on schema model to plinth_worker, plinth_app;
  ${KINDS.map(
    (
      kind,
    ) => `create table model.${kind} (tenant_id uuid not null, event_id uuid not null, position bigint not null, stream text not null, worth bigint not null, name text, times integer not null,
        n bigserial, primary key (tenant_id, event_id));
      alter table model.${kind} enable row level security; alter table model.${kind} force row level security;
      create policy tenant on model.${kind} using (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid));
      create policy worker on model.${kind} to plinth_worker using (true) with check (true);
      create table model.${kind}_sums (tenant_id uuid not null, stream text not null, worth bigint not null, primary key (tenant_id, stream));
      grant select, insert, update, delete on model.${kind}, model.${kind}_sums to plinth_worker, plinth_app; grant usage on sequence model.${kind}_n_seq to plinth_worker, plinth_app`,
  ).join(';\n')}`;

/** For the next round. */
export const EMPTY = `set session_replication_role = replica;
  truncate plinth_events.events, plinth_events.streams, plinth_events.dedup, plinth_events.parked, plinth_events.subject_keys, model.async, model.async_sums, model.inline, model.inline_sums;
  delete from plinth_kernel.feed_cursors where consumer like 'model.%'; delete from plinth_kernel.feed_consumers where consumer like 'model.%'; delete from plinth_kernel.feed_projections;
  delete from plinth_kernel.projection_notes; reset session_replication_role`;

/** What a rebuild may not leave. */
export const LEFT = `select relname as left from pg_class where relname like '%!_!_shadow' escape '!' or relname like '%!_!_former' escape '!'
  union all select consumer from plinth_kernel.feed_cursors where consumer like '%rebuild'
  union all select consumer from plinth_events.parked where consumer like '%rebuild' and ended_at is null`;

/** What goes wrong while events are handled. */
export interface Watch {
  /** In [0, 1). */
  mood(): number;
  /** Throws for a note that cannot be handled now. */
  mayHandle(note: number): void;
  kill(pid: number | undefined): Promise<unknown>;
}

export interface Row {
  id: string;
  tenant_id: string;
  type: string;
  stream: string;
  version: string | null;
  note: number;
  subject: string | null;
  /** What the table of the projection has. */
  own: { worth: number; name: string | null; times: number; n: number } | null;
  open: string[];
  unread: boolean;
}
export interface Standing {
  status: string;
  revision: string | null;
  erasures: number;
  phase: boolean;
}

/** One statement, so that the log, the table, the cursors and the state are of one moment. */
export const picture = (kind: Kind): string => `
  select coalesce(jsonb_agg(to_jsonb(r) order by r.position), '[]') as events,
    (select jsonb_build_object('status', p.status, 'revision', p.revision, 'erasures', p.erasures, 'phase', p.status in ('replaying', 'swapping')) from plinth.projections as p where p.name = $2) as state,
    (select coalesce(jsonb_object_agg(s.tenant_id || ' ' || s.stream, s.worth), '{}') from model.${kind}_sums as s) as sums,
    (select count(*)::int from model.${kind}) as rows
  from (
    select e.id, e.tenant_id, e.type, coalesce(e.aggregate_id, '-') as stream, e.version, e.position, (e.payload ->> 'note')::int as note, e.payload ->> 'id' as subject,
      (select to_jsonb(t) from model.${kind} as t where t.tenant_id = e.tenant_id and t.event_id = e.id) as own,
      coalesce((select array_agg(p.status) from plinth_events.parked as p where p.consumer = $2 and p.event_id = e.id and p.tenant_id = e.tenant_id and p.ended_at is null), '{}') as open,
      coalesce((select plinth_kernel.feed_unread(e.xact, e.position, w.s1, w.s2, w.last, w.above, w.up_to) from plinth_kernel.feed_windows($1) as w where w.shard = e.shard and w.consumer = $2), true) as unread
    from plinth_events.events as e where e.type like 'model.%') as r`;

export const factorOf = (revision: number): number => 10 ** (revision - 1);
/** A projection that keeps what it was given, one row an event, and a sum that tells of an event that came twice. */
export const projectionOf = (kind: Kind, revision: number, watch: Watch): Projection =>
  defineProjection({
    summary: 'What was noted',
    kind,
    revision,
    timeoutMs: 30_000,
    tables: { rows: `model.${kind}`, sums: `model.${kind}_sums` },
    types: kind === 'inline' ? ['model.tested', 'model.told'] : ['model.tested', 'model.told', 'model.sql'],
    uncompared: ['n'],
    batchSize: 7,
    async handle(tx, events, { rows, sums }) {
      const live = !rows.includes('__shadow');
      const mood = watch.mood();
      for (const { tenantId, id, position, streamId, data } of events) {
        if (mood > 0.5 && !(live && kind === 'inline')) watch.mayHandle(Number(data.note));
        const stream = streamId?.split(':').at(-1) ?? '-';
        const worth = Number(data.note) * factorOf(revision);
        const name = data.name === undefined ? null : typeof data.name === 'string' ? data.name : JSON.stringify(data.name);
        await tx.query(
          `insert into ${rows} as t (tenant_id, event_id, position, stream, worth, name, times) values ($1, $2, $3, $4, $5, $6, 1) on conflict (tenant_id, event_id) do update set times = t.times + 1`,
          [tenantId, id, position, stream, worth, name],
        );
        await tx.query(
          `insert into ${sums} as s (tenant_id, stream, worth) values ($1, $2, $3) on conflict (tenant_id, stream) do update set worth = s.worth + excluded.worth`,
          [tenantId, stream, worth],
        );
      }
      if (!(live && kind === 'inline')) for (const { data } of events) watch.mayHandle(Number(data.note));
      if (mood < 0.03) throw new Error('cannot handle at all');
      if (mood < 0.06 && !(live && kind === 'inline')) await watch.kill((await tx.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid);
    },
  });
