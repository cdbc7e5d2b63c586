/** Runs the command `plinth` as its users do: a process of its own, what it prints, and its exit code. */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const root = join(import.meta.dirname, '..', '..');
const program = join(root, 'packages', 'plinth', 'bin', 'plinth.mjs');

export type Variables = Readonly<Record<string, string>>;

export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  /** Milliseconds of `performance.now()` at its start. */
  readonly startedAt: number;
  /** Everything printed until now, both streams. */
  printed(): string;
  /** Resolves with the first line, printed already or to come, that matches. Errors: the process ended without it. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends a signal and resolves when it is gone, with the time that took. */
  stop(signal: NodeJS.Signals): Promise<Ended & { ms: number }>;
  /** Closes the pipe that it prints into, as `head` does when it has seen enough. */
  hangUp(): void;
  readonly ended: Promise<Ended>;
}

/** The test's environment without what Plinth itself reads. */
function variables(own: Variables): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('PLINTH_') && !name.startsWith('VITEST'));
  return { ...Object.fromEntries(kept), NO_COLOR: '1', NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compiled'), ...own };
}

/** Commands that a failed test left running; killed when the test file ends. */
const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Starts `plinth <args>` in the repository's folder. */
export const startCommand = (args: readonly string[], own: Variables = {}): Running => startProgram(program, args, own, root);

/** Starts another `plinth` in another folder. */
export function startProgram(file: string, args: readonly string[], own: Variables, cwd: string): Running {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...args], {
    cwd,
    env: variables(own),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  alive.add(child);
  const lines: string[] = [];
  const waiting = new Set<(line: string) => void>();
  const out = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (chunk: string) => (out[stream] += chunk));
    createInterface({ input: child[stream] }).on('line', (line) => {
      lines.push(line);
      for (const tell of waiting) tell(line);
    });
  }
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  child.once('close', (code) => {
    alive.delete(child);
    resolve({ code, ...out });
  });
  const printed = (): string => lines.join('\n');
  const line = (pattern: RegExp): Promise<RegExpExecArray> => {
    const found = Promise.withResolvers<RegExpExecArray>();
    const tell = (text: string): void => {
      const match = pattern.exec(text);
      if (match) found.resolve(match);
    };
    waiting.add(tell);
    lines.forEach(tell);
    void ended.then(({ code }) => found.reject(new Error(`plinth ${args.join(' ')} ended with ${code} and never printed ${pattern}:\n${printed()}`)));
    return found.promise.finally(() => waiting.delete(tell));
  };
  const stop: Running['stop'] = async (signal) => {
    const tookMs = stopwatch();
    child.kill(signal);
    const result = await ended;
    return { ...result, ms: tookMs() };
  };
  return { pid: child.pid ?? 0, startedAt, printed, line, stop, hangUp: () => void child.stdout.destroy(), ended };
}

/** Runs `plinth <args>` to its end. */
export function command(args: readonly string[], own: Variables = {}): Promise<Ended> {
  return startCommand(args, own).ended;
}

/** What `--json` printed. */
export function json<T>({ stdout, stderr }: Ended): T {
  try {
    return JSON.parse(stdout) as T;
  } catch (error) {
    throw new Error(`not JSON: ${stdout}${stderr}`, { cause: error });
  }
}

/** Counts the time in which this machine runs programs: a stretch in which it did not even serve a timer of this process counts as one beat of it. */
function stopwatch(): () => number {
  const BEAT_MS = 20;
  let [last, total] = [performance.now(), 0];
  const beat = (): void => {
    const now = performance.now();
    total += Math.min(now - last, 2 * BEAT_MS);
    last = now;
  };
  const beating = setInterval(beat, BEAT_MS);
  return () => {
    clearInterval(beating);
    beat();
    return total;
  };
}

/** A limit that holds on a machine with nothing else to do, stretched by how many programs want each processor now. */
export function stretched(ms: number): number {
  const [load = 0] = loadavg();
  return ms * Math.max(1, load / availableParallelism());
}
