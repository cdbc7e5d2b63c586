import { AssertionError } from 'node:assert';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';

/** What else a job must be like. */
export interface Expectation {
  tenantId?: string | undefined;
  /** Exactly so many. Default: one or more. */
  times?: number | undefined;
  queue?: string | undefined;
  priority?: number | undefined;
  uniqueKey?: string | undefined;
  /** Default: scheduled, pending or processing. */
  status?: string | readonly string[] | undefined;
  /** It runs within so much time from now, ms; at once is 0. */
  dueWithinMs?: number | undefined;
  /** Looks in this transaction, for what it has enqueued and not committed. */
  tx?: AnyTransaction | undefined;
}

export interface EnqueuedJob {
  id: string;
  kind: string;
  tenantId: string;
  status: string;
  queue: string;
  priority: number;
  uniqueKey: string | null;
  payload: Record<string, unknown>;
  /** ms until it may run; 0 or less: now. */
  dueInMs: number;
}

const LIVE = ['scheduled', 'pending', 'processing'];
const MOST_LOOKED_AT = 10_000;
const MOST_SHOWN = 5;

/** Matchers of Vitest and Jest: `expect.any(String)`. */
interface Matcher {
  asymmetricMatch(value: unknown): boolean;
}

const isMatcher = (expected: object): expected is Matcher => typeof (expected as Partial<Matcher>).asymmetricMatch === 'function';
const hasJson = (expected: object): expected is { toJSON(): unknown } => typeof (expected as { toJSON?: unknown }).toJSON === 'function';

/** Where the value is not what was expected: `payload.lines[2].sku is "a", not "b"`; undefined when it is. */
function difference(path: string, value: unknown, expected: unknown): string | undefined {
  if (typeof expected === 'function') return (expected as (value: unknown) => unknown)(value) ? undefined : `${path} is ${shown(value)}, which is refused`;
  if (expected instanceof RegExp) return typeof value === 'string' && expected.test(value) ? undefined : `${path} is ${shown(value)}, not like ${expected}`;
  if (expected === null || typeof expected !== 'object') return Object.is(value, expected) ? undefined : `${path} is ${shown(value)}, not ${shown(expected)}`;
  if (isMatcher(expected)) return expected.asymmetricMatch(value) ? undefined : `${path} is ${shown(value)}, which is refused`;
  // A Date is stored as its JSON, so is everything that has its own.
  if (hasJson(expected)) return difference(path, value, expected.toJSON());
  if (value === null || typeof value !== 'object' || Array.isArray(value) !== Array.isArray(expected))
    return `${path} is ${shown(value)}, not ${shown(expected)}`;
  if (Array.isArray(expected) && (value as unknown[]).length !== expected.length)
    return `${path} has ${(value as unknown[]).length} elements, not ${expected.length}`;
  for (const [name, inner] of Object.entries(expected)) {
    const fault = difference(Array.isArray(expected) ? `${path}[${name}]` : `${path}.${name}`, (value as Record<string, unknown>)[name], inner);
    if (fault) return fault;
  }
  return undefined;
}

function shown(value: unknown): string {
  const text =
    value === undefined
      ? 'missing'
      : (JSON.stringify(value, (_name, inner: unknown) => (typeof inner === 'function' ? '(a function)' : inner)) ?? String(value));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

const statusesOf = ({ status }: Expectation): readonly string[] => (status === undefined ? LIVE : [status].flat());

function fault(job: EnqueuedJob, payload: Record<string, unknown>, expected: Expectation): string | undefined {
  if (!statusesOf(expected).includes(job.status)) return `it is ${job.status}`;
  for (const name of ['queue', 'priority', 'uniqueKey'] as const)
    if (expected[name] !== undefined && job[name] !== expected[name]) return `${name} is ${shown(job[name])}, not ${shown(expected[name])}`;
  if (expected.dueWithinMs !== undefined && job.dueInMs > expected.dueWithinMs) return `it is due in ${Math.round(job.dueInMs)} ms`;
  return difference('payload', job.payload, payload);
}

/** Those of that kind in the order in which they were enqueued, also of other statuses, for the message. */
async function find(plinth: Plinth<ModuleMap>, kind: string, expected: Expectation): Promise<EnqueuedJob[]> {
  const statuses = statusesOf(expected);
  const ask = async (tx: AnyTransaction): Promise<EnqueuedJob[]> => {
    await tx.flush();
    return tx.query<EnqueuedJob>(
      `select id, job_type as kind, tenant_id as "tenantId", status, queue, priority, unique_key as "uniqueKey", payload,
         case when run_at = 'infinity' then 'infinity' else extract(epoch from run_at - clock_timestamp()) * 1000 end::float8 as "dueInMs"
       from plinth.background_jobs where job_type = $1 and ($2::uuid is null or tenant_id = $2) order by status = any ($4) desc, id desc limit $3`,
      [kind, expected.tenantId ?? null, MOST_LOOKED_AT, statuses],
    );
  };
  const inTenant = expected.tenantId && !expected.tx ? plinth.transaction({ tenantId: expected.tenantId }, ask) : undefined;
  const jobs = await (expected.tx ? ask(expected.tx) : (inTenant ?? plinth.asWorker({}, ask)));
  // An assertion about some of them would be none.
  if (jobs.length === MOST_LOOKED_AT && statuses.includes(jobs.at(-1)?.status ?? ''))
    throw new Error(`there are ${MOST_LOOKED_AT} jobs of kind ${kind} or more: ask for those of a tenant or status`);
  return jobs.reverse();
}

async function otherKinds(plinth: Plinth<ModuleMap>, expected: Expectation): Promise<string> {
  const ask = (tx: AnyTransaction): Promise<{ kind: string; n: number }[]> =>
    tx.query(
      `select job_type as kind, count(*)::int as n from plinth.background_jobs where status = any ($1) and ($2::uuid is null or tenant_id = $2)
       group by 1 order by 2 desc, 1 limit 20`,
      [LIVE, expected.tenantId ?? null],
    );
  const rows = await (expected.tx ? ask(expected.tx) : plinth.asWorker({ readOnly: true }, ask));
  return rows.length === 0 ? 'nothing is enqueued' : `there are: ${rows.map(({ kind, n }) => `${kind} (${n})`).join(', ')}`;
}

/** See JobsKit.assertEnqueued. */
export async function assertEnqueued(plinth: Plinth<ModuleMap>, kind: string, payload: Record<string, unknown>, expected: Expectation): Promise<EnqueuedJob[]> {
  const jobs = await find(plinth, kind, expected);
  const faults = jobs.map((job) => fault(job, payload, expected));
  const fitting = jobs.filter((_job, n) => faults[n] === undefined);
  if (expected.times === undefined ? fitting.length > 0 : fitting.length === expected.times) return fitting;
  const wanted = `${expected.times === undefined ? 'a job' : `${expected.times} jobs`} "${kind}" with payload ${shown(payload)}`;
  const lines = jobs.slice(0, MOST_SHOWN).map((job, n) => `  ${job.id} ${job.status} ${shown(job.payload)}: ${faults[n] ?? 'fits'}`);
  const more = jobs.length > MOST_SHOWN ? [`  and ${jobs.length - MOST_SHOWN} more`] : [];
  const found =
    jobs.length === 0
      ? `there is none of that kind; ${await otherKinds(plinth, expected)}`
      : `${fitting.length} of the ${jobs.length} of that kind fit:\n${[...lines, ...more].join('\n')}`;
  throw failure(
    `expected ${wanted}; ${found}`,
    jobs.map((job) => job.payload),
    payload,
  );
}

/** See JobsKit.assertNotEnqueued. */
export async function assertNotEnqueued(plinth: Plinth<ModuleMap>, kind: string, payload: Record<string, unknown>, expected: Expectation): Promise<void> {
  const fitting = (await find(plinth, kind, expected)).filter((job) => fault(job, payload, expected) === undefined);
  if (fitting.length === 0) return;
  const lines = fitting.slice(0, MOST_SHOWN).map((job) => `  ${job.id} ${job.status} ${shown(job.payload)}`);
  throw failure(
    `expected no job "${kind}" with payload ${shown(payload)}; there are ${fitting.length}:\n${lines.join('\n')}`,
    fitting.map((job) => job.payload),
    [],
  );
}

/** Of node:assert, which every test runner shows with a difference. */
const failure = (message: string, actual: unknown, expected: unknown): AssertionError =>
  new AssertionError({ message, actual, expected, operator: 'assertEnqueued', stackStartFn: failure });
