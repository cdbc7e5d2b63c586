/** Looks at processes: which are alive, and which belong to the server of one data folder. */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whether a process runs. A zombie does not: it holds no memory and no files, though signal 0 still reaches it. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return !(await statFields(pid))?.state.startsWith('Z');
}

/**
 * What tells a process from a later one with the same number: its start in clock ticks since boot on Linux, its start
 * time elsewhere. Undefined when there is no such process.
 */
export async function startMark(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') return (await statFields(pid))?.startTicks;
  const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.trim() || undefined;
}

async function statFields(pid: number): Promise<{ state: string; startTicks: string } | undefined> {
  if (process.platform !== 'linux') return undefined;
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The command name stands in parentheses and may hold anything; the fields after it are plain.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: fields[19] ?? '' };
}

/**
 * Every process of a PostgreSQL server on this data folder, the postmaster and its children. Linux knows by the working
 * folder, which PostgreSQL sets to the data folder; elsewhere only the postmaster is found, by its command line.
 */
export async function serverProcesses(dataFolder: string): Promise<number[]> {
  if (process.platform === 'linux') {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
    const here = await Promise.all(pids.map(async (pid) => (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === dataFolder && (await isPostgres(pid))));
    return pids.filter((_, index) => here[index]);
  }
  const { stdout } = await run('ps', ['-axo', 'pid=,command=']).catch(() => ({ stdout: '' }));
  return stdout
    .split('\n')
    .filter((line) => line.includes('postgres') && line.includes(`-D ${dataFolder}`))
    .map((line) => Number.parseInt(line, 10));
}

async function isPostgres(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return command.startsWith('postgres');
}

/** Asks `condition` every few milliseconds until it holds; false when `timeoutMs` have passed first. */
export async function waitUntil(condition: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  for (let interval = 2; ; interval = Math.min(interval * 1.5, 25)) {
    if (await condition()) return true;
    if (performance.now() >= end) return false;
    await pause(interval);
  }
}

/** Sends a signal; a process that is gone already is no fault. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
