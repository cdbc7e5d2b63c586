/**
 * Events to 2,000 readers of one server process. Beside it socket.io with @socket.io/postgres-adapter. On both sides another process publishes,
 * PostgreSQL carries, one server process tells, and the readers live in a process of their own (the same bare TCP readers for both). Ours is an
 * event committed to the log with fsync; theirs a NOTIFY that nobody can ask for again.
 */
import type { BenchContext, Report, Row } from './harness.ts';
import { median } from './harness.ts';
import { startSocketIo } from './peers/socket-io.ts';
import { readingKey } from './realtime/key.ts';
import { killUnderReaders } from './realtime/killed.ts';
import type { Readers } from './realtime/processes.ts';
import { readers, serverProcess } from './realtime/processes.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const RATES = [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560];
/** A rate is kept up when every reader has every message soon after the last one. */
const SETTLE_MS = 2_000;

interface Step {
  rate: number;
  p50: number;
  p99: number;
  /** Messages a second that arrived, over all readers. */
  arrived: number;
  kept: boolean;
}

interface Side {
  name: string;
  send: (n: number) => Promise<unknown>;
  crowd: Readers;
  close(): Promise<void>;
}

const stamp = (): number => Math.round(performance.timeOrigin + performance.now());

/** Messages at a rate, whatever becomes of them (open loop); then what the readers have seen. */
async function step(side: Side, clients: number, rate: number, seconds: number, next: { n: number }): Promise<Step> {
  await side.crowd.clear();
  const began = performance.now();
  const pending = new Set<Promise<unknown>>();
  const total = Math.round(rate * seconds);
  for (let nth = 0; nth < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) * rate) / 1000) + 1);
    for (; nth < due; nth++) {
      const sent = side.send(next.n++).finally(() => pending.delete(sent));
      pending.add(sent);
    }
    await pause(Math.max(1, began + (nth * 1000) / rate - performance.now()));
  }
  await Promise.all(pending);
  const end = performance.now() + SETTLE_MS;
  let seen = await side.crowd.tell();
  while (seen.received < total * clients && performance.now() < end) {
    await pause(50);
    seen = await side.crowd.tell();
  }
  const tookS = (performance.now() - began) / 1000;
  const kept = seen.received === total * clients && seen.ends === 0 && seen.p99 <= 1_000;
  return { rate, p50: seen.p50, p99: seen.p99, arrived: seen.received / tookS, kept };
}

async function ours(context: BenchContext, key: string, clients: number): Promise<Side> {
  const server = await serverProcess('./server.fixture.ts', context.serverUrl);
  const crowd = readers();
  await crowd.open({ protocol: 'sse', ports: [server.port], key, path: '/realtime?topic=events/bench.*', count: clients });
  const { plinth, tenantId } = context;
  return {
    name: 'plinth /realtime (SSE)',
    crowd,
    send: (n) => plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('bench.message', { n, t: stamp(), text: 'x'.repeat(100) })),
    async close() {
      crowd.end();
      await server.kill();
    },
  };
}

async function theirs(context: BenchContext, clients: number): Promise<Side> {
  const server = await serverProcess('./socket-io.fixture.ts', context.url);
  const publisher = await startSocketIo(context.url);
  const crowd = readers();
  await crowd.open({ protocol: 'socket.io', ports: [server.port], key: '', path: '/socket.io/?EIO=4&transport=websocket', count: clients });
  return {
    name: 'socket.io, postgres-adapter',
    crowd,
    send: (n) => Promise.resolve(publisher.emit({ n, t: stamp(), text: 'x'.repeat(100) })),
    async close() {
      crowd.end();
      await server.kill();
      await publisher.close();
    },
  };
}

/** At 10 a second, then ever more until a rate is not kept up. */
async function climb(side: Side, clients: number, seconds: number, rates: readonly number[]): Promise<{ calm: Step; best: Step; arrived: number }> {
  const next = { n: 0 };
  // Warm up: the first messages pay for compiling.
  await step(side, clients, 10, 2, next);
  const calm = await step(side, clients, 10, seconds, next);
  let best = calm;
  let arrived = calm.arrived;
  for (const rate of rates) {
    const now = await step(side, clients, rate, Math.min(seconds, 4), next);
    process.stderr.write(
      `  ${side.name}: ${rate}/s, p99 ${now.p99} ms, ${Math.round(now.arrived).toLocaleString('en')} arrived/s${now.kept ? '' : ' (not kept up)'}\n`,
    );
    arrived = Math.max(arrived, now.arrived);
    if (!now.kept) break;
    best = now;
  }
  return { calm, best, arrived };
}

/** Ratios of single rounds, so that a median near 1 shows what it hides. */
const ratiosNote = (ratios: readonly number[]): string => `p99 at 10/s against socket.io, by round: ${ratios.map((one) => one.toFixed(2)).join(', ')}`;

/** `--set only=calm`: 10 messages a second alone, as many rounds as asked for. */
export async function run(context: BenchContext): Promise<Report> {
  const calmOnly = context.args.only === 'calm';
  const clients = Number(context.args.clients ?? (context.quick ? 200 : 2_000));
  const seconds = Number(context.args.seconds ?? (context.quick ? 3 : 10));
  const rounds = context.quick ? 1 : calmOnly ? context.rounds : Math.min(context.rounds, 5);
  const key = await readingKey(context.plinth, context.tenantId);
  const found: Record<'ours' | 'theirs', Awaited<ReturnType<typeof climb>>[]> = { ours: [], theirs: [] };
  for (let round = 0; round < rounds; round++) {
    const sides = ['ours', 'theirs'] as const;
    for (const which of round % 2 === 0 ? sides : sides.toReversed()) {
      const side = which === 'ours' ? await ours(context, key, clients) : await theirs(context, clients);
      found[which].push(await climb(side, clients, seconds, calmOnly ? [] : RATES.slice(1)));
      await side.close();
    }
  }
  const rows = (what: string, unit: string, of: (one: Awaited<ReturnType<typeof climb>>) => number): Row[] =>
    (['ours', 'theirs'] as const).map((which) => {
      const values = found[which].map(of);
      const name = which === 'ours' ? 'plinth' : 'socket.io';
      return { variant: `${name}: ${what}`, median: median(values), least: Math.min(...values), most: Math.max(...values), unit };
    });
  const ratios = (of: (one: Awaited<ReturnType<typeof climb>>) => number): number[] =>
    found.ours.map((one, round) => of(one) / of(found.theirs[round] as typeof one));
  const calmBar = { what: 'p99 at 10/s against socket.io', value: median(ratios(({ calm }) => calm.p99)), atMost: 1 };
  const calmRows = [...rows('p50 at 10/s to all', 'ms', ({ calm }) => calm.p50), ...rows('p99 at 10/s to all', 'ms', ({ calm }) => calm.p99)];
  const durability = 'fsync on; ours synchronous_commit on (an event is durable before it is told), theirs a NOTIFY';
  const notes = [ratiosNote(ratios(({ calm }) => calm.p99))];
  if (calmOnly)
    return {
      name: 'realtime-calm',
      title: `${clients.toLocaleString('en')} readers of one server process, 10 messages a second`,
      settings: [durability, `${rounds} rounds of ${seconds} s`],
      rows: calmRows,
      bars: [calmBar],
      notes,
    };
  const { plinth, serverUrl, tenantId, otherTenantId } = context;
  const killed = await killUnderReaders({ plinth, serverUrl, tenantId, otherTenantId, key, clients, rate: 10, kills: 1, goes: 'other' });
  const restarted = await killUnderReaders({ plinth, serverUrl, tenantId, otherTenantId, key, clients, rate: 10, kills: 1, goes: 'restart' });
  const single = (variant: string, value: number, unit: string): Row => ({ variant, median: value, least: value, most: value, unit });
  return {
    name: 'realtime',
    title: `${clients.toLocaleString('en')} readers of one server process`,
    settings: [durability, `rates doubled from 10/s until one is not kept up; ${seconds} s at 10/s, then 4 s each`],
    rows: [
      ...calmRows,
      ...rows('highest rate kept up, messages to readers', '/s', ({ best }) => best.rate * clients),
      ...rows('most that arrived', '/s', ({ arrived }) => arrived),
      single('killed, readers go to another process: slowest', killed.slowestResumeMs, 'ms'),
      single('killed and started again: slowest', restarted.slowestResumeMs, 'ms'),
    ],
    bars: [
      { what: 'messages/s against socket.io (highest rate kept up)', value: median(ratios(({ best }) => best.rate)), atLeast: 2 },
      calmBar,
      { what: 'gaps and repetitions after kills', value: killed.gaps + killed.repeats + restarted.gaps + restarted.repeats, atMost: 0 },
      {
        what: 'readers that did not come back',
        value: killed.away + restarted.away + Number(killed.behind < killed.sent - 1) + Number(restarted.behind < restarted.sent - 1),
        atMost: 0,
      },
      { what: 'slowest reader back, another process (ms)', value: killed.slowestResumeMs, atMost: 5_000 },
      { what: 'slowest reader back, process started again (ms)', value: restarted.slowestResumeMs, atMost: 5_000 },
    ],
    notes,
  };
}
