/**
 * `npm run bench -- jobs-fair [--quick] [--set backlog=1000000] [--set claims=1000000]`: 100 small tenants beside one with a huge
 * backlog, 1,000 tenants of Zipf sizes that all want more than there is, and caps.
 */
import type { Bar, BenchContext, Report, Row } from './harness.ts';
import { capsHeld, fill, jain, makeTenants, shares, smallWaits } from './jobs/fairness.ts';
import { percentile } from './jobs/latency.ts';
import { capTenant, workOff } from './jobs/ours.ts';

const SLOTS = 16;
const BIG_TENANTS_CAP = 8;

const row = (variant: string, value: number, unit: string): Row => ({ variant, median: value, least: value, most: value, unit });

interface Part {
  rows: Row[];
  bars: Bar[];
  notes: string[];
}

async function besideABigOne(context: BenchContext): Promise<Part> {
  const { args, quick } = context;
  const backlog = Number(args.backlog ?? (quick ? 20_000 : 1_000_000));
  const small = await makeTenants(context, 'small', 100);
  const [big = ''] = await makeTenants(context, 'big', 1);
  const load = { durationMs: quick ? 2_000 : 30_000, everyMs: 5, slots: SLOTS, workMs: 5 };
  const alone = await smallWaits(context, small, load);
  const capped = await capTenant(context, big, BIG_TENANTS_CAP);
  await fill(context.plinth, big, backlog);
  await context.admin.query('analyze');
  const beside = await smallWaits(context, small, load);
  const state = capped ? `at its cap of ${BIG_TENANTS_CAP} of ${SLOTS} slots` : 'without a cap';
  return {
    rows: [
      row('small tenants alone, wait p50', percentile(alone, 0.5), 'ms'),
      row('small tenants alone, wait p99', percentile(alone, 0.99), 'ms'),
      row(`beside a tenant with ${backlog.toLocaleString('en')} waiting, ${state}, wait p50`, percentile(beside, 0.5), 'ms'),
      row(`beside a tenant with ${backlog.toLocaleString('en')} waiting, ${state}, wait p99`, percentile(beside, 0.99), 'ms'),
    ],
    bars: [{ what: `small tenants' p99 wait beside a big one ${state} vs alone`, value: percentile(beside, 0.99) / percentile(alone, 0.99), atMost: 2 }],
    notes: capped ? [] : ['The big tenant has no cap: this version has none. Every slot is open to it.'],
  };
}

async function equalShares(context: BenchContext): Promise<Part> {
  const { quick } = context;
  const tenants = await makeTenants(context, 'zipf', quick ? 50 : 1_000);
  const each = quick ? 10 : 30;
  // The n-th has 1/n of the first, but at least twice what equal shares give it, so that nobody runs dry.
  const first = quick ? 2_000 : 20_000;
  for (const [index, tenantId] of tenants.entries()) await fill(context.plinth, tenantId, Math.max(each * 2, Math.ceil(first / (index + 1))));
  await context.admin.query('analyze');
  const counts = await shares(context, tenants, tenants.length * each, 64);
  return {
    rows: [
      row(`${tenants.length} tenants, least started`, Math.min(...counts), 'jobs'),
      row(`${tenants.length} tenants, most started`, Math.max(...counts), 'jobs'),
    ],
    bars: [{ what: `Jain index of ${tenants.length} tenants with equal weights`, value: jain(counts), atLeast: 0.95 }],
    notes: [],
  };
}

async function caps(context: BenchContext): Promise<Part> {
  const { args, quick } = context;
  const tenants = await makeTenants(context, 'capped', quick ? 20 : 100);
  const total = Math.ceil(Number(args.claims ?? (quick ? 2_000 : 1_000_000)) / tenants.length) * tenants.length;
  const check = await capsHeld(context, tenants, 2, total);
  if (!check) return { rows: [], bars: [], notes: ['Caps were not measured: this version has none.'] };
  return {
    rows: [row(`${tenants.length} tenants with a cap of 2, ${total.toLocaleString('en')} claims, most at once`, check.most, 'jobs')],
    bars: [{ what: 'starts over the cap', value: check.exceeded, atMost: 0 }],
    notes: [],
  };
}

/** The tenants of one part are idle in the others; what one leaves waiting is worked off before the next. */
const PARTS = { caps, equalShares, besideABigOne };

export async function run(context: BenchContext): Promise<Report> {
  const parts: Part[] = [];
  for (const [name, part] of Object.entries(PARTS)) {
    process.stdout.write(`${name} ...\n`);
    parts.push(await part(context));
    if (name !== Object.keys(PARTS).at(-1)) await workOff(context);
  }
  return {
    name: 'jobs-fair',
    title: 'jobs-fair: what tenants get of a shared worker',
    settings: [`fsync on, synchronous_commit on; payload 200 bytes; waits: ${SLOTS} slots, 5 ms of work a job, a small job every 5 ms; shares: 64 slots`],
    rows: parts.flatMap(({ rows }) => rows),
    bars: parts.flatMap(({ bars }) => bars),
    notes: parts.flatMap(({ notes }) => notes),
  };
}
