/** What the tests of limits and pauses ask for again and again. */
import type { JobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';

export interface LimitWish {
  per: string;
  maxRunning?: number;
  rate?: number;
  period?: string;
  burst?: number;
  queue?: string;
  key?: string;
  reason?: string;
}

export interface LaneRow {
  queue: string;
  priority: number;
  tenant_id: string;
  concurrency_key: string;
  weight: number;
  room: number | null;
}

export interface LimitsSteps {
  /** As the tenant itself. */
  set(tenantId: string, wish: LimitWish): Promise<string>;
  /** As an operator, for one tenant. */
  setFor(tenantId: string, wish: LimitWish): Promise<string>;
  /** As an operator, for all. */
  setForAll(wish: LimitWish): Promise<string>;
  remove(tenantId: string, id: string): Promise<void>;
  /** So many pending jobs of kind `k`. */
  fill(tenantId: string, count: number, lane?: { queue?: string; key?: string; priority?: number; kind?: string; keys?: number }): Promise<void>;
  lanes(): Promise<LaneRow[]>;
  claimTurns(worker: string, limit: number, lanes: readonly LaneRow[], quantum: number): Promise<(ClaimedJob & { started_at: Date })[]>;
  holds(): Promise<number>;
  tidy(bytes: number): Promise<number>;
  /** No jobs, limits, pauses, weights. */
  clear(): Promise<void>;
}

const SET = 'select plinth.set_job_limit($1, $2, $3, $4, $5, $6, $7, $8) as id';
const given = (wish: LimitWish) => [
  wish.per,
  wish.maxRunning ?? null,
  wish.rate ?? null,
  wish.period ?? '1 second',
  wish.burst ?? null,
  wish.queue ?? null,
  wish.key ?? null,
  wish.reason ?? null,
];

export function limitsSteps(jobs: JobsFixture): LimitsSteps {
  const { plinth, database } = jobs;
  const idOf = (rows: readonly { id: string }[]): string => rows[0]?.id ?? '';
  return {
    set: async (tenantId, wish) => idOf(await plinth.transaction({ tenantId }, (tx) => tx.query<{ id: string }>(SET, given(wish)))),
    setFor: async (tenantId, wish) => idOf(await plinth.asWorker({ tenantId }, (tx) => tx.query<{ id: string }>(SET, given(wish)))),
    setForAll: async (wish) => idOf(await plinth.asWorker({}, (tx) => tx.query<{ id: string }>(SET, given(wish)))),
    remove: async (tenantId, id) => {
      await plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.remove_job_limit($1)', [id]));
    },
    fill: async (tenantId, count, lane = {}) => {
      await database.admin.query(
        `insert into plinth_jobs.jobs_ready (tenant_id, kind, queue, priority, concurrency_key)
         select $1, $2, $3, $4, $5 || case when $6::integer is null then '' else (n % $6)::text end from generate_series(1, $7::integer) n`,
        [tenantId, lane.kind ?? 'k', lane.queue ?? 'default', lane.priority ?? 5, lane.key ?? '', lane.keys ?? null, count],
      );
    },
    lanes: () => plinth.asWorker({}, (tx) => tx.query<LaneRow>('select * from plinth_jobs.lanes()')),
    claimTurns: (worker, limit, lanes, quantum) =>
      plinth.asWorker({ durable: false }, (tx) =>
        tx.query<ClaimedJob & { started_at: Date }>(`select * from plinth_jobs.claim_lanes($1, $2, null, $3, $4, $5, $6, $7, $8)`, [
          worker,
          limit,
          lanes.map((lane) => lane.queue),
          lanes.map((lane) => lane.priority),
          lanes.map((lane) => lane.tenant_id),
          lanes.map((lane) => lane.concurrency_key),
          lanes.map(() => 0),
          lanes.map(() => quantum),
        ]),
      ),
    holds: async () => (await database.admin.query<{ n: number }>('select count(*)::int as n from plinth_jobs.holds')).rows[0]?.n ?? 0,
    tidy: async (bytes) => (await plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_jobs.tidy_limits($1)::int as n', [bytes])))[0]?.n ?? 0,
    clear: async () => {
      await jobs.clear();
      for (const table of ['limits', 'pauses', 'weights', 'holds', 'rates']) await database.admin.query(`delete from plinth_jobs.${table}`);
    },
  };
}
