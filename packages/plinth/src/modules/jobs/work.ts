/** What a worker process asks of the database. All of it runs as plinth_worker, across tenants, by the clock of the database. */
import type { Queryable } from '#kernel/database.ts';
import type { Backoff } from './options.ts';
import { backoffJson } from './options.ts';

/** A job that this process holds, until its lease ends. */
export interface ClaimedJob {
  tenant_id: string;
  id: string;
  /** The fence: every later call must show it. */
  run_id: string;
  kind: string;
  queue: string;
  payload: Record<string, unknown>;
  attempt: number;
  /** Null: that of the kind. */
  max_attempts: number | null;
  priority: number;
  concurrency_key: string;
  correlation_id: string | null;
  /** From the moment it could run to the claim, by the clock of the database. */
  waited_ms: number;
  /** True: its deadline had passed before it was claimed. */
  late: boolean | null;
  /** Of one claim: told when every job of it is settled. */
  claim_id: string;
  /** Where its row was written, if the claim told: what tidsend() gives, in hexadecimal. */
  place?: string | undefined;
}

export interface ClaimRequest {
  worker: string;
  limit: number;
  leaseMs: number;
  /** Only kinds that have a handler here: others stay pending for a process that has one. */
  kinds: readonly string[];
  queues?: readonly string[] | undefined;
}

/** A lane in which jobs may run now, and at most how many to take from it. */
export interface LaneTurn {
  lane: { queue: string; priority: number; tenantId: string; key: string };
  /** Number (seq) of the last job that was taken from it; 0 is always right. */
  after: string;
  quantum: number;
}

/** How an attempt ended; what follows from it is decided in plinth_jobs.settle. */
export interface Settlement {
  tenant_id: string;
  id: string;
  run_id: string;
  outcome: 'completed' | 'failed' | 'cancelled' | 'snoozed' | 'returned';
  result?: unknown;
  /** Size of the result as JSON, for whoever sends many together; not stored. */
  bytes?: number;
  error?: string;
  /** Wait before the next attempt, ms. Default after a failure: that of the job or its kind (plinth_jobs.backoff_of). */
  delay_ms?: number;
  /** True: no further attempt. */
  final?: boolean;
  /** Where its row was written, as the claim told: a hint, with which a completion is found faster. */
  place?: string | undefined;
}

export type HeldRun = Pick<ClaimedJob, 'tenant_id' | 'id' | 'run_id'>;

/** What there is to claim: at most `limit` lanes, those that follow `after` in the order of queue, priority, tenant and key. */
export async function findLanes(
  tx: Queryable,
  { queues, limit, after }: { queues?: readonly string[] | undefined; limit: number; after?: LaneTurn['lane'] | undefined },
): Promise<(LaneTurn['lane'] & { weight: number; room: number | undefined })[]> {
  const rows = await tx.query<{ queue: string; priority: number; tenant_id: string; concurrency_key: string; weight: number; room: number | null }>(
    'select * from plinth_jobs.lanes($1, $2, $3, $4, $5, $6)',
    [queues ?? null, limit, after?.queue ?? null, after?.priority ?? null, after?.tenantId ?? null, after?.key ?? null],
  );
  return rows.map((row) => ({
    queue: row.queue,
    priority: row.priority,
    tenantId: row.tenant_id,
    key: row.concurrency_key,
    weight: row.weight,
    room: row.room ?? undefined,
  }));
}

/** Moments are compared where the clock is; reading them as dates would cost more than the rest of the row. date_part, because extract counts in numeric. */
const CLAIMED = `id, run_id, kind, payload, attempt, max_attempts, correlation_id, date_part('epoch', started_at - run_at) * 1000 as waited_ms, deadline < started_at as late`;

/** A job and where it was taken from. */
export interface LaneJob extends ClaimedJob {
  /** Which of the turns, from 0. */
  turn: number;
  seq: string;
}

type LaneRow = Omit<ClaimedJob, 'tenant_id' | 'queue' | 'priority' | 'concurrency_key' | 'claim_id' | 'place'> & {
  lane: number;
  seq: string;
  places: Buffer | null;
};

/** The claim of an attempt: their ids differ in the last nine digits. */
export const claimOf = (runId: string): string => `${runId.slice(0, 27)}000000000`;

/** Takes jobs from these lanes, in their order, at most `limit`. The worker must be registered and beat. */
export async function claimLanes(
  tx: Queryable,
  request: { worker: string; limit: number; kinds: readonly string[]; turns: readonly LaneTurn[] },
): Promise<LaneJob[]> {
  const { turns } = request;
  // What all jobs of a lane or of the claim have in common is not sent with each.
  const rows = await tx.query<LaneRow>(`select ${CLAIMED}, seq, lane, places from plinth_jobs.claim_lanes($1, $2, $3, $4, $5, $6, $7, $8, $9)`, [
    request.worker,
    request.limit,
    request.kinds,
    turns.map(({ lane }) => lane.queue),
    turns.map(({ lane }) => lane.priority),
    turns.map(({ lane }) => lane.tenantId),
    turns.map(({ lane }) => lane.key),
    turns.map(({ after }) => after),
    turns.map(({ quantum }) => quantum),
  ]);
  const claimId = rows[0] ? claimOf(rows[0].run_id) : '';
  const places = placesOf(rows);
  return rows.map((row, index) => laneJob(row, turns[row.lane - 1] as LaneTurn, claimId, places[index]));
}

/** The binary form of an array, in hexadecimal: dimensions, whether there is null, type of the elements, how many, number of the first; then each with its size before it. */
const ARRAY_HEAD = { tid: '00000001000000000000001b', uuid: '000000010000000000000b86' } as const;
const HEAD_DIGITS = 40;
const SIZE_DIGITS = 8;
const PLACE_DIGITS = 12;

const arrayHead = (of: keyof typeof ARRAY_HEAD, count: number): string => `${ARRAY_HEAD[of]}${count.toString(16).padStart(8, '0')}00000001`;

/** Of all rows, in their order; none where the claim did not tell. */
function placesOf(rows: readonly LaneRow[]): readonly string[] {
  const places = rows.find((row) => row.places !== null)?.places?.toString('hex');
  const step = SIZE_DIGITS + PLACE_DIGITS;
  if (places?.length !== HEAD_DIGITS + rows.length * step) return [];
  return rows.map((_, index) => places.slice(HEAD_DIGITS + index * step + SIZE_DIGITS, HEAD_DIGITS + (index + 1) * step));
}

const placeArray = (places: readonly string[]): Buffer => Buffer.from(`${arrayHead('tid', places.length)}00000006${places.join('00000006')}`, 'hex');

/** Reading 500 of them as text would be a twentieth of what completing their jobs takes the server. */
const binaryUuidArray = (ids: readonly string[]): Buffer =>
  Buffer.from(`${arrayHead('uuid', ids.length)}00000010${ids.join('00000010').replaceAll('-', '')}`, 'hex');

const laneJob = (row: LaneRow, { lane }: LaneTurn, claimId: string, place: string | undefined): LaneJob => ({
  tenant_id: lane.tenantId,
  id: row.id,
  run_id: row.run_id,
  kind: row.kind,
  queue: lane.queue,
  payload: row.payload,
  attempt: row.attempt,
  max_attempts: row.max_attempts,
  priority: lane.priority,
  concurrency_key: lane.key,
  correlation_id: row.correlation_id,
  waited_ms: row.waited_ms,
  late: row.late,
  claim_id: claimId,
  place,
  turn: row.lane - 1,
  seq: row.seq,
});

/** Whether something may have changed since: the number of the last job that became ready, and ms until the next scheduled one is due. */
export async function peekJobs(tx: Queryable): Promise<{ last: string; dueInMs: number | undefined }> {
  const [row] = await tx.query<{ last: string; due_in_ms: number | null }>('select * from plinth_jobs.peek()');
  return { last: row?.last ?? '0', dueInMs: row?.due_in_ms ?? undefined };
}

/** Makes scheduled jobs ready whose time has come. Returns how many. */
export async function promoteJobs(tx: Queryable, limit: number): Promise<number> {
  const [row] = await tx.query<{ n: number }>('select plinth_jobs.promote($1)::int as n', [limit]);
  return row?.n ?? 0;
}

/** Turns the ring of ready jobs and indexes a part of what waits in it. Returns what was done, for the log, and whether more is to be indexed. */
export async function rotateRing(tx: Queryable): Promise<{ did: string; more: boolean }> {
  const [row] = await tx.query<{ did: string | null; more: boolean }>('select plinth_jobs.rotate() as did, plinth_jobs.summarise_ring() as more');
  return { did: row?.did ?? '', more: row?.more ?? false };
}

/** Takes at most `limit` jobs, the most urgent first, equal shares for tenants; registers the worker. For callers that keep nothing between two claims. */
export const claimJobs = (tx: Queryable, request: ClaimRequest): Promise<ClaimedJob[]> =>
  tx.query<ClaimedJob>(
    `select ${CLAIMED}, tenant_id, queue, priority, concurrency_key, claim_id from plinth_jobs.claim($1, $2, $3 * interval '1 millisecond', $4, $5)`,
    [request.worker, request.limit, request.leaseMs, request.kinds, request.queues ?? null],
  );

/** As the server writes it: the driver would look for something to escape in each. */
const uuidArray = (ids: readonly string[]): string => `{${ids.join(',')}}`;

/** A job that failed for good without an attempt of this process: because of one that it depends on, or because its worker died. */
export interface FailedJob {
  tenant_id: string;
  id: string;
  kind: string;
  correlation_id: string | null;
  error: string;
}

/** What became of attempts. */
export interface Settled {
  /** Status of the job by run id, of those that were accepted; the others had lost their lease. */
  statuses: Map<string, string>;
  /** Jobs that failed because they depend on one of these. */
  failed: FailedJob[];
}

/** Ends attempts. `claims`: those of which every job is settled with this call or before. */
export async function settleJobs(tx: Queryable, settlements: readonly Settlement[], claims: readonly string[] = []): Promise<Settled> {
  const plain: Settlement[] = [];
  const others: Settlement[] = [];
  for (const one of settlements) (one.outcome === 'completed' && one.result === undefined ? plain : others).push(one);
  const closed = claims.length > 0 ? claims : null;
  const settled: Settled = { statuses: new Map(), failed: [] };
  // Sent together; the claims with the last of them, for they must not be gone before their jobs are settled.
  const [refused, ended] = await Promise.all([
    plain.length > 0 ? completeJobs(tx, plain, others.length > 0 ? null : closed) : [],
    others.length > 0 || plain.length === 0
      ? tx.query<{ run_id: string | null; status: string; job: FailedJob }>('select run_id, status, job from plinth_jobs.settle($1, $2)', [
          JSON.stringify(others),
          closed,
        ])
      : [],
  ]);
  for (const one of plain) settled.statuses.set(one.run_id, 'completed');
  for (const { run_id } of refused) settled.statuses.delete(run_id);
  for (const { run_id, status, job } of ended) {
    if (run_id === null) settled.failed.push(job);
    else settled.statuses.set(run_id, status);
  }
  return settled;
}

/** Ends an attempt whose outcome the database refuses, and whose failure it refuses too: cancelled, with the error. False: it had lost its lease. */
export async function setJobAside(tx: Queryable, { tenant_id, id, run_id, error }: Settlement): Promise<boolean> {
  const [row] = await tx.query<{ accepted: boolean }>('select plinth_jobs.set_aside($1, $2, $3, $4) as accepted', [tenant_id, id, run_id, error ?? null]);
  return row?.accepted === true;
}

type RunIdRow = { run_id: string };

/** Completes them where the claim wrote them, and those that are not there any more by their keys. Returns those that were refused. */
async function completeJobs(tx: Queryable, jobs: readonly Settlement[], claims: readonly string[] | null): Promise<RunIdRow[]> {
  const places: string[] = [];
  for (const { place } of jobs) {
    if (place === undefined) return completeByKey(tx, jobs, claims);
    places.push(place);
  }
  const elsewhere = await tx.query<RunIdRow>('select complete_at as run_id from plinth_jobs.complete_at($1, $2, $3)', [
    placeArray(places),
    binaryUuidArray(jobs.map((one) => one.run_id)),
    claims,
  ]);
  if (elsewhere.length === 0) return elsewhere;
  const left = new Set(elsewhere.map((row) => row.run_id));
  return completeByKey(
    tx,
    jobs.filter((one) => left.has(one.run_id)),
    claims,
  );
}

const completeByKey = (tx: Queryable, jobs: readonly Settlement[], claims: readonly string[] | null): Promise<RunIdRow[]> =>
  tx.query<RunIdRow>('select complete as run_id from plinth_jobs.complete($1, $2, $3, $4)', [
    uuidArray(jobs.map((one) => one.tenant_id)),
    uuidArray(jobs.map((one) => one.id)),
    uuidArray(jobs.map((one) => one.run_id)),
    claims,
  ]);

/** What does not start: jobs that every member which is not null names. The nil tenant: of all tenants. */
export interface Pause {
  tenant_id: string;
  queue: string | null;
  kind: string | null;
  concurrency_key: string | null;
}

/** What a worker learns with its sign of life. */
export interface Beat {
  /** Attempts of its that should stop. */
  cancelled: string[];
  /** Other workers have died. */
  deaths: boolean;
  /** Pauses of the last minute; null: none. */
  paused: Pause[] | null;
}

/** A sign of life of a registered worker. Errors: jobs_lease_lost, it was given up itself. */
export async function beatWorker(tx: Queryable, worker: string): Promise<Beat> {
  const [row] = await tx.query<Beat>('select cancelled, deaths, paused from plinth_jobs.heartbeat($1)', [worker]);
  return row ?? { cancelled: [], deaths: false, paused: null };
}

export interface WorkerEntry {
  id: string;
  name: string;
  leaseMs: number;
  /** Key of the advisory lock that its session holds, by which its death is noticed at once. */
  sessionLock?: bigint | undefined;
  /** What it takes; undefined: any. For `plinth.explain_job`. */
  kinds?: readonly string[] | undefined;
  queues?: readonly string[] | undefined;
}

/** Makes a worker known. */
export async function registerWorker(tx: Queryable, worker: WorkerEntry): Promise<void> {
  await tx.query(`select plinth_jobs.register_worker($1, $2, $3 * interval '1 millisecond', $4, $5, $6)`, [
    worker.id,
    worker.name,
    worker.leaseMs,
    worker.sessionLock ?? null,
    worker.kinds ?? null,
    worker.queues ?? null,
  ]);
}

/** Gives back the jobs of claims whose answer never arrived: committed, and known to nobody. Returns how many. */
export async function disownClaims(tx: Queryable, worker: string, known: readonly string[]): Promise<number> {
  const [row] = await tx.query<{ n: number }>('select plinth_jobs.disown($1, $2)::int as n', [worker, known]);
  return row?.n ?? 0;
}

/** A worker that has settled everything leaves. */
export async function unregisterWorker(tx: Queryable, worker: string): Promise<void> {
  await tx.query('select plinth_jobs.unregister_worker($1)', [worker]);
}

/** Takes back the jobs of workers that died. Returns how many, and which were given up with it. */
export async function recoverJobs(tx: Queryable, limit = 100): Promise<{ taken: number; failed: FailedJob[] }> {
  const [row] = await tx.query<{ taken: number; failed: FailedJob[] }>('select taken::int as taken, failed from plinth_jobs.recover($1)', [limit]);
  return row ?? { taken: 0, failed: [] };
}

/** Tells which kinds this process handles, with their defaults. */
export async function announceKinds(
  tx: Queryable,
  kinds: readonly { kind: string; summary: string; max_attempts: number; timeout_ms: number; backoff?: Backoff | undefined; max_lost?: number | undefined }[],
): Promise<void> {
  await tx.query('select plinth_jobs.announce_kinds($1)', [JSON.stringify(kinds.map((one) => ({ ...one, backoff: backoffJson(one.backoff) })))]);
}
