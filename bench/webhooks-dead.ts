/**
 * `npm run bench -- webhooks-dead [--set backlog=100000] [--quick]`: an endpoint that is dead for a day of virtual time with a backlog, and then is back.
 * The claims and results are the real ones, on a virtual clock; the receiver is a function.
 */
import { backlog, deadFor, drain, Simulation } from '../packages/plinth/src/modules/webhooks/simulation.fixture.ts';
import type { BenchContext, Report } from './harness.ts';

const HOLDER = '018f0000-0000-7000-8000-0000000000d1';
const RATE = 500;

export async function run(context: BenchContext): Promise<Report> {
  const waiting = Number(context.args.backlog ?? (context.quick ? 5000 : 100_000));
  const { admin, plinth, tenantId } = context;
  const id = await plinth.transaction({ tenantId }, async (tx) => {
    const [made] = await tx.query<{ id: string }>(`select subscription_id as id from plinth.subscribe('dead', '{#}', 'https://example.com/')`);
    await tx.query(`select plinth.set_delivery_policy($1, p_rate_per_second => $2, p_max_in_flight => 200, p_disable_after => '30 days')`, [made?.id, RATE]);
    return made?.id ?? '';
  });
  await backlog(admin, id, waiting);
  await admin.query('analyze plinth_webhooks.deliveries');
  const simulation = new Simulation(admin);
  const dead = await deadFor(simulation, id, 24, HOLDER);
  const tried = new Set(simulation.attempts.map((one) => one.id));
  const began = simulation.advancedS;
  const drained = await drain(simulation, HOLDER, 0.2, 256);
  const lasted = (drained.at(-1)?.at ?? 0) - (drained[0]?.at ?? 0);
  const fresh = drained.filter((one) => !tried.has(one.id));
  const inversions = fresh.filter((one, i) => i > 0 && one.seq < (fresh[i - 1]?.seq ?? 0)).length;
  const row = (variant: string, value: number, unit: string) => ({ variant, median: value, least: value, most: value, unit });
  return {
    name: 'webhooks-dead',
    title: `webhooks: an endpoint that is dead for 24 hours with ${waiting.toLocaleString('en')} deliveries waiting`,
    settings: [`virtual clock, throttle ${RATE}/s, 200 at a time, answers after 0.2 s; it is back after ${Math.round(began / 3600)} hours`],
    rows: [
      row('attempts while dead', dead.attempts, 'attempts'),
      row('attempts to drain', drained.length, 'attempts'),
      row('drain, of the rate allowed', (100 * drained.length) / lasted / RATE, '%'),
    ],
    bars: [
      { what: 'attempts in 24 hours', value: dead.attempts, atMost: 300 },
      { what: 'transitions of the breaker that are not legal', value: dead.illegal.length, atMost: 0 },
      { what: 'deliveries that overtook another when it was back', value: inversions, atMost: 0 },
      { what: 'drained, of what waited', value: new Set(drained.map((one) => one.id)).size / waiting, atLeast: 1 },
      { what: 'rate while draining, of the rate allowed', value: drained.length / lasted / RATE, atMost: 1.01 },
    ],
  };
}
