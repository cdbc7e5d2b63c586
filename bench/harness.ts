import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Plinth } from '../packages/plinth/src/index.ts';
import { createPlinth } from '../packages/plinth/src/index.ts';
import { createServerRole, migrateUp } from '../packages/plinth/src/kernel/migrate/index.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';

/** A bar of an issue: `value` is a ratio of two variants of the same run. */
export interface Bar {
  what: string;
  value: number;
  atLeast?: number;
  atMost?: number;
}

export const isMet = ({ value, atLeast, atMost }: Bar): boolean => (atLeast === undefined || value >= atLeast) && (atMost === undefined || value <= atMost);

export interface Row {
  variant: string;
  median: number;
  least: number;
  most: number;
  unit: string;
}

export interface Report {
  name: string;
  title: string;
  /** Durability and other settings that the figures depend on. */
  settings: string[];
  rows: Row[];
  bars: Bar[];
  notes?: string[];
}

export interface BenchContext {
  /** Superuser URL of the benchmark's own database. */
  url: string;
  /** The same database as the serving role. */
  serverUrl: string;
  admin: pg.Client;
  plinth: Plinth;
  tenantId: string;
  otherTenantId: string;
  rounds: number;
  quick: boolean;
  args: Record<string, string>;
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
};

/** Runs every variant once a round, in an order that turns by one each round, so that no variant always runs first. */
export async function interleave(rounds: number, variants: Record<string, () => Promise<number>>): Promise<Record<string, number[]>> {
  const names = Object.keys(variants);
  const results: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + Math.max(round, 0)) % names.length] ?? '';
      const value = (await variants[name]?.()) ?? Number.NaN;
      // The first round warms caches and plans and is not counted.
      if (round >= 0) results[name]?.push(value);
    }
  }
  return results;
}

export const rowsOf = (results: Record<string, number[]>, unit: string): Row[] =>
  Object.entries(results).map(([variant, values]) => ({ variant, median: median(values), least: Math.min(...values), most: Math.max(...values), unit }));

/** Median of the ratios of each round: both sides of a ratio were measured within seconds of each other. */
export const ratio = (results: Record<string, number[]>, ours: string, theirs: string): number =>
  median((results[ours] ?? []).map((value, round) => value / (results[theirs]?.[round] ?? Number.NaN)));

/** Calls per second of `clients` loops that call `once` until `durationMs` has passed. */
export async function throughput(clients: number, durationMs: number, once: (client: number) => Promise<unknown>): Promise<number> {
  const started = performance.now();
  let calls = 0;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      while (performance.now() - started < durationMs) {
        await once(client);
        calls++;
      }
    }),
  );
  return (calls / (performance.now() - started)) * 1000;
}

/** Milliseconds of one call. */
export async function timeOf(once: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await once();
  return performance.now() - started;
}

/** A fresh, migrated database on the server of `serverUrl`, with two tenants and a serving role. */
export async function benchContext(
  serverUrl: string,
  options: { rounds: number; quick: boolean; args: Record<string, string> },
): Promise<BenchContext & { close(): Promise<void> }> {
  const root = new pg.Client({ connectionString: serverUrl });
  await root.connect();
  await root.query('drop database if exists plinth_bench with (force)');
  await root.query('create database plinth_bench');
  await root.end();
  const url = new URL(serverUrl);
  url.pathname = '/plinth_bench';
  await migrateUp({ url: url.href, modules });
  await createServerRole({ url: url.href, name: 'plinth_bench_server', password: 'bench' });
  const admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  const tenantId = '018f0000-0000-7000-8000-00000000000a';
  const otherTenantId = '018f0000-0000-7000-8000-00000000000b';
  await admin.query(`insert into plinth_kernel.tenants (id, slug, name) values ($1, 'bench-a', 'A'), ($2, 'bench-b', 'B')`, [tenantId, otherTenantId]);
  const serving = new URL(url.href);
  serving.username = 'plinth_bench_server';
  serving.password = 'bench';
  const plinth = createPlinth({ database: { url: serving.href, max: 64 } });
  return {
    ...options,
    url: url.href,
    serverUrl: serving.href,
    admin,
    plinth,
    tenantId,
    otherTenantId,
    async close() {
      await plinth.close();
      await admin.end();
    },
  };
}

const show = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString('en') : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/** Prints the table and writes bench/results/<name>.json. True when every bar is met. */
export function publish(report: Report): boolean {
  process.stdout.write(`\n${report.title}\n${report.settings.map((line) => `  ${line}\n`).join('')}\n`);
  const width = Math.max(...report.rows.map((row) => row.variant.length));
  for (const row of report.rows)
    process.stdout.write(`  ${row.variant.padEnd(width)}  ${show(row.median).padStart(10)} ${row.unit}  (${show(row.least)} to ${show(row.most)})\n`);
  process.stdout.write('\n');
  let met = true;
  for (const bar of report.bars) {
    const ok = isMet(bar);
    met &&= ok;
    const limit = bar.atLeast === undefined ? (bar.atMost === undefined ? '' : `<= ${bar.atMost}`) : `>= ${bar.atLeast}`;
    process.stdout.write(`  ${ok ? '✔' : '✘'} ${bar.what}: ${bar.value.toFixed(3)} ${limit}\n`);
  }
  for (const note of report.notes ?? []) process.stdout.write(`  ${note}\n`);
  const folder = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model ?? '', memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version };
  writeFileSync(`${folder}${report.name}.json`, `${JSON.stringify({ ...report, machine, at: new Date().toISOString() }, null, 2)}\n`);
  return met;
}
