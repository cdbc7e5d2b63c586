import { defineCommand } from 'citty';
import { inClone } from './clone.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { bold, dim, green, red, say, seconds, table, told } from './output.ts';
import type { ReplayOptions, ReplayResult } from './replay/run.ts';
import { replay as run } from './replay/run.ts';
import type { Stack } from './replay/stack.ts';
import { addsUp } from './replay/verdict.ts';
import { devState, rowsOf, traceLines } from './trace.ts';
import { untilStopped } from './until-stopped.ts';

const whole = (name: string, text: string, least: number, most: number): number => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most)
    throw new SettingFault(`--${name} is ${JSON.stringify(text)}: give a whole number from ${least} to ${most}.`);
  return number;
};

/** The running plinth dev of this folder, unless parts are to be killed: then a stack of its own. */
async function stackFor(dataDir: string, crash: boolean): Promise<{ stack: Stack; name: string }> {
  // Needs plinth-embedded, which is not everywhere.
  const { attach, ownStack } = await import('./replay/stack.ts');
  const state = crash ? undefined : await devState(dataDir);
  const answers =
    state &&
    (await fetch(`${state.origin}/readyz`, { signal: AbortSignal.timeout(3_000) }).then(
      (response) => response.ok,
      () => false,
    ));
  if (state && answers) return { stack: attach(state), name: `plinth dev at ${state.origin}` };
  return { stack: await ownStack(dataDir), name: 'a PostgreSQL, server and worker of its own' };
}

/** Where the stories can be read; of a stack that ends with the replay they are told here. */
async function tellTraces({ verdict }: ReplayResult, stack: Stack): Promise<void> {
  if (Object.keys(stack.parts).length === 0) {
    for (const { correlationId, tenantId } of verdict.traces) say(`  ${stack.origin}/console/trace/${correlationId}?tenant=${tenantId}`);
    return;
  }
  for (const { correlationId } of verdict.traces) {
    say(`\n${bold('Trace')} ${correlationId}  ${dim('rows with the same letter were committed together')}`);
    for (const line of traceLines(await rowsOf(stack.adminUrl, correlationId))) say(line);
  }
  say(dim('\n  Their database goes with this run. While npm start runs, a replay without --crash writes to that one, and prints links into the console.'));
}

function report({ verdict, kills, sentAgain, sendingMs, wallMs }: ReplayResult, options: ReplayOptions): void {
  say();
  table(
    ['what', 'count', 'must be'],
    [
      ['payloads in', verdict.payloads, ''],
      ['acknowledged', verdict.acknowledged, String(verdict.payloads)],
      ['sent again under the same key', sentAgain, ''],
      ['payloads recorded', verdict.recorded, String(verdict.payloads)],
      ['business rows that they are about', verdict.rows, ''],
      ['payloads counted in their business row', verdict.upserts, String(verdict.payloads)],
      ['audit entries', verdict.entries, String(verdict.payloads)],
      ['events', verdict.events, String(verdict.payloads)],
      ['jobs', verdict.jobs, String(verdict.payloads)],
      ['job effects', verdict.summarised, String(verdict.payloads)],
      ['deliveries attempted', verdict.attempts, ''],
      ['deliveries verified', verdict.verified, ''],
      ['lost (acknowledged but missing)', verdict.lost, '0'],
      ['delivered twice under different webhook-ids', verdict.twice, '0'],
      ['half-done transactions', verdict.halfDone, '0'],
      ['effects not exactly once', verdict.notOnce, '0'],
      ['signatures refused', verdict.badSignatures, '0'],
    ],
  );
  say();
  if (options.crash)
    say(
      `  Killed with SIGKILL: ${Object.entries(kills)
        .map(([part, times]) => `${part} ${times} times`)
        .join(', ')} (seed ${options.seed})`,
    );
  say(`  Wall time ${seconds(wallMs)}; sending ${seconds(sendingMs)}, ${Math.round(verdict.payloads / (sendingMs / 1000)).toLocaleString('en')} payloads/s`);
}

const conclude = ({ verdict }: ReplayResult): void => say(`\n  ${addsUp(verdict) ? green('✔ Everything adds up.') : red('✘ Something does not add up.')}`);

export const replay = defineCommand({
  meta: { name: 'replay', description: 'Drive real GitHub webhooks through one transaction each, and count what came of them.' },
  args: {
    source: { type: 'positional', required: true, description: 'github' },
    rate: { type: 'string', default: '100', description: 'Payloads a second; 0: as fast as they are acknowledged' },
    tenants: { type: 'string', default: '2', description: 'Tenants that the payloads are dealt out to' },
    times: { type: 'string', default: '1', description: 'How many times the 329 payloads are sent' },
    limit: { type: 'string', description: 'At most so many payloads: what the subscription delivers, and others at even distances' },
    crash: { type: 'boolean', description: 'Kill server, worker and Postgres with SIGKILL at random moments' },
    seed: { type: 'string', description: 'Seed of the random moments; printed' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      if (args.source !== 'github') throw new SettingFault(`There is no replay ${args.source}: choose github.`);
      if (!inClone('examples/modules.ts'))
        throw Object.assign(new Error('The replay writes to the example modules, which are not in the package'), { wayOut: 'Run it in a clone of Plinth.' });
      const environment = readEnvironment();
      let last = 0;
      const stopping = new AbortController();
      void untilStopped(new Promise(() => {})).then(() => stopping.abort(new Error('Stopped before the end')));
      const options: ReplayOptions = {
        dataDir: environment.dataDir,
        rate: whole('rate', args.rate, 0, 100_000),
        tenants: whole('tenants', args.tenants, 1, 100),
        times: whole('times', args.times, 1, 1000),
        limit: args.limit === undefined ? undefined : whole('limit', args.limit, 1, 1_000_000),
        crash: args.crash === true,
        signal: stopping.signal,
        seed: args.seed === undefined ? Date.now() % 1_000_000_007 : whole('seed', args.seed, 0, 4_294_967_295),
        onProgress: ({ acknowledged, of, kills, phase }) => {
          if (args.json || (performance.now() - last < 1_000 && phase === 'sending')) return;
          last = performance.now();
          say(
            dim(
              phase === 'sending' ? `  ${acknowledged} of ${of} acknowledged${kills ? `, ${kills} kills` : ''}` : '  Waiting for jobs and deliveries to finish',
            ),
          );
        },
      };
      const { stack, name } = await stackFor(environment.dataDir, options.crash);
      if (!args.json) say(`  Replaying against ${name}${options.crash ? `, seed ${options.seed}` : ''}`);
      try {
        const result = await run(stack, options);
        if (args.json) say(JSON.stringify({ ...result, seed: options.seed, adds_up: addsUp(result.verdict) }));
        else {
          report(result, options);
          await tellTraces(result, stack);
          conclude(result);
        }
        if (!addsUp(result.verdict)) process.exitCode = 1;
      } finally {
        await stack.stop();
      }
    })(undefined).then(() => process.exit()),
});
