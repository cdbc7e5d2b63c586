import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diskStorage } from '#adapters/storage/disk.ts';
import type { TestDatabase } from '#testing/database.ts';
import { ownerAccess } from './owner.ts';
import type { RetentionServices } from './services.ts';
import type { Storage } from './storage.ts';

export const NIL = '00000000-0000-0000-0000-000000000000';

/** A day in March two years ago, and one that is over since yesterday. */
export const twoYearsAgo = `${new Date().getUTCFullYear() - 2}-03-10`;
export const yesterday = new Date(Date.now() - 86_400_000).toISOString();

/** An SQL expression: a uuid v7 of that moment, with a random tail. */
export const idAt = (moment: string): string =>
  `overlay(gen_random_uuid()::text placing left(plinth_kernel.v7_floor(${moment})::text, 14) || '7' from 1 for 15)::uuid`;

/** Old audit months, rows in them, policies and holds, and services over a storage folder of its own. */
export interface RetentionPlace {
  storage: Storage;
  folder: string;
  /** Every step that a run began: `drop plinth_audit.entries_2010_01`. */
  steps: string[];
  services(given?: Partial<RetentionServices>): RetentionServices;
  makeMonth(day: string): Promise<unknown>;
  addEntries(tenantId: string, day: string, count: number, entityType?: string): Promise<unknown>;
  countOf(tenantId: string): Promise<number>;
  /** Partitions that are older than half a year. */
  months(): Promise<string[]>;
  setPolicy(tenantId: string, keep: string | null, archive?: boolean): Promise<unknown>;
  hold(tenantId: string, reason: string, entity?: string, kind?: string): Promise<unknown>;
  /** No rows, old months, policies, holds or records of partitions that left. */
  clear(): Promise<void>;
  dispose(): Promise<void>;
}

export async function retentionPlace(database: TestDatabase): Promise<RetentionPlace> {
  const { admin, plinth } = database;
  const folder = await mkdtemp(join(tmpdir(), 'plinth-archive-'));
  const storage = diskStorage(folder);
  const steps: string[] = [];
  const asOwner = (statement: string): Promise<unknown> => admin.query(`begin; set local role plinth_owner; ${statement}; commit`);
  const months = async (): Promise<string[]> =>
    (
      await admin.query<{ name: string }>(
        `select name from plinth_kernel.partition_list('plinth_audit.entries') where lower_id < plinth_kernel.v7_floor(now() - interval '6 months')`,
      )
    ).rows.map((row) => row.name);
  return {
    storage,
    folder,
    steps,
    services: (given = {}) => ({
      asWorker: (body) => plinth.asWorker({}, body),
      async step(step, body) {
        steps.push(`${step.action} ${step.target}`);
        return body();
      },
      storage,
      owner: ownerAccess(database.url),
      ...given,
    }),
    makeMonth: (day) => asOwner(`select plinth_kernel.partition_make('plinth_audit.entries', 'month', '${day}')`),
    addEntries: (tenantId, day, count, entityType = 'order') =>
      admin.query(
        `insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, after, metadata, compliance_flags, created_at)
         select $1, ${idAt(`'${day}'::timestamptz`)}, 'order.created', $2, n::text, jsonb_build_object('n', n, 'text', 'Grüße "' || n || E'"\\n'), '{"big": 12345678901234567890.5}',
           '{gdpr,"a b"}', '${day}'::timestamptz + n * interval '1 microsecond' from generate_series(1, $3::int) as n`,
        [tenantId, entityType, count],
      ),
    countOf: async (tenantId) =>
      (await admin.query<{ n: number }>('select count(*)::int as n from plinth_audit.entries where tenant_id = $1', [tenantId])).rows[0]?.n ?? 0,
    months,
    setPolicy: (tenantId, keep, archive) =>
      admin.query(
        `insert into plinth_kernel.retention_policies (tenant_id, kind, keep, archive) values ($1, 'audit.entries', $2, $3)
         on conflict (tenant_id, kind) do update set keep = excluded.keep, archive = excluded.archive`,
        [tenantId, keep, archive ?? null],
      ),
    hold: (tenantId, reason, entity, kind = 'audit.entries') =>
      admin.query('insert into plinth_kernel.retention_holds (tenant_id, kind, entity, reason) values ($1, $2, $3, $4)', [
        tenantId,
        kind,
        entity ?? null,
        reason,
      ]),
    async clear() {
      steps.length = 0;
      const { rows: left } = await admin.query<{ name: string }>(
        `select format('%s', relation::regclass) as name from plinth_kernel.retention_partitions where state not in ('dropped', 'returned')`,
      );
      for (const name of [...(await months()), ...left.map((row) => row.name)]) await admin.query(`drop table if exists ${name}`);
      await admin.query('set local role plinth_owner; delete from plinth_audit.entries');
      await admin.query(
        'delete from plinth_kernel.retention_policies; delete from plinth_kernel.retention_holds; delete from plinth_kernel.retention_partitions',
      );
    },
    async dispose() {
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
