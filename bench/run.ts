/**
 * `npm run bench -- <name> [--rounds 5] [--quick] [--set name=value]...`: a PostgreSQL of its own with fsync on, the benchmark, its table and
 * bench/results/<name>.json. A group, `events` or `webhooks`, is several of them one after the other.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from 'plinth-embedded';
import type { BenchContext, Report } from './harness.ts';
import { benchContext, publish } from './harness.ts';

const GROUPS: Record<string, string[]> = {
  events: ['feed-torture', 'event-store-peers', 'events-catchup'],
  webhooks: ['webhooks-delivery', 'webhooks-match', 'webhooks-dead', 'webhooks-kill'],
};
const NOT_BENCHES = new Set(['run.ts', 'harness.ts']);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !NOT_BENCHES.has(file))
  .map((file) => file.slice(0, -3));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    url: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
  },
});
const [name = ''] = positionals;

/** `--set jobs=1000` is `args.jobs === '1000'`. */
const argsOf = (pairs: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new Error(`--set takes name=value, not ${pair}`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );

async function main(): Promise<void> {
  const chosen = GROUPS[name] ?? [name];
  if (!chosen.every((one) => names.includes(one)))
    throw new Error(`There is no benchmark ${name || '(none named)'}: npm run bench -- <${[...Object.keys(GROUPS), ...names].join(' | ')}>`);
  for (const one of chosen) await bench(one);
}

async function bench(name: string): Promise<void> {
  const { run } = (await import(`./${name}.ts`)) as { run: (context: BenchContext) => Promise<Report> };
  const folder = values.url ? undefined : mkdtempSync(join(tmpdir(), 'plinth-bench-'));
  const server = folder
    ? await startPostgres({ dataDir: folder, port: 0, settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: 300 } })
    : undefined;
  try {
    const context = await benchContext(values.url ?? server?.url ?? '', { rounds: Number(values.rounds), quick: values.quick, args: argsOf(values.set) });
    try {
      if (!publish(await run(context))) process.exitCode = 1;
    } finally {
      await context.close();
    }
  } finally {
    await server?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
}

await main().catch((error: unknown) => {
  const { message, wayOut } = error as Error & { wayOut?: string };
  process.stderr.write(`✘ ${message}\n${wayOut ? `  ${wayOut}\n` : ''}`);
  process.exitCode = 1;
});
