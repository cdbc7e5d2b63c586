/** One running server: starting it, knowing when it is ready, ending it, finding one that an earlier process left. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, runAs } from './account.ts';
import { programEnvironment } from './cluster.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { isAlive, serverProcesses, signalProcess, waitUntil } from './processes.ts';

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the server has ended, for whatever reason. Code and signal are null for one that we did not start. */
  readonly exited: Promise<Exit>;
}

interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

/** Line 1 is the process, line 4 the port, line 8 the state; the same lines that pg_ctl reads. */
async function readPidFile(cluster: string): Promise<PidFile | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  return { pid: Math.abs(Number(lines[0])), port: Number(lines[3]), ready: lines[7] === 'ready' };
}

/** The server that runs on this cluster, if one does. */
export async function findPostmaster(cluster: string): Promise<Postmaster | undefined> {
  const file = await readPidFile(cluster);
  if (file === undefined || !(await isAlive(file.pid))) return undefined;
  if (!(await serverProcesses(cluster)).includes(file.pid)) return undefined;
  const ready = await waitUntil(async () => (await readPidFile(cluster))?.ready ?? true, 60_000);
  return ready ? { pid: file.pid, port: file.port, exited: watchEnd(file.pid) } : undefined;
}

/** A process that is not our child sends no exit event, so it is asked; the timer never holds our process open. */
function watchEnd(pid: number): Promise<Exit> {
  return new Promise((resolve) => {
    const timer = setInterval(async () => {
      if (await isAlive(pid)) return;
      clearInterval(timer);
      resolve({ code: null, signal: null });
    }, 200);
    timer.unref();
  });
}

/**
 * Clears what a killed server left. Its children end by themselves once they notice, but a busy one may take long and
 * keeps the shared memory that the next server must not share. A process number in postmaster.pid that now belongs to
 * somebody else would make PostgreSQL refuse to start, so the file goes once no process of the cluster is left.
 */
export async function clearRemains(cluster: string): Promise<void> {
  const gone = async () => (await serverProcesses(cluster)).length === 0;
  for (const [signal, timeoutMs] of [
    ['SIGQUIT', 1_000],
    ['SIGKILL', 5_000],
  ] as const) {
    for (const pid of await serverProcesses(cluster)) signalProcess(pid, signal);
    if (await waitUntil(gone, timeoutMs)) {
      // Elsewhere than on Linux we cannot see the children, so PostgreSQL's own check of shared memory has to judge.
      if (process.platform === 'linux') await rm(join(cluster, 'postmaster.pid'), { force: true });
      return;
    }
  }
  throw new EmbeddedPostgresError(
    'stop_failed',
    `Processes of an earlier server on ${cluster} do not end: ${(await serverProcesses(cluster)).join(', ')}.`,
    'End these processes, then start again.',
  );
}

export interface Launch {
  readonly port: number;
  readonly logFile: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts the server and waits until it accepts connections, or says why it did not. It has a session of its own, so
 * Ctrl-C in a terminal does not reach it before our own shutdown has drained, and it logs to a file, because a pipe
 * would break when our process is killed and the server lives on.
 */
export async function launch(account: Account, options: Launch): Promise<Postmaster | { readonly failed: string }> {
  const args = ['-D', account.cluster, '-c', `port=${options.port}`];
  const command = runAs(account, account.binaries.postgres, args);
  const log = openSync(options.logFile, 'a');
  const offset = (await readFile(options.logFile)).length;
  const child = spawn(command.file, command.args, {
    ...command.options,
    cwd: '/',
    env: programEnvironment(account),
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  let end: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
    child.on('error', (error) => resolve({ code: null, signal: error.message }));
  });
  void exited.then((exit) => {
    end = exit;
  });
  const { pid } = child;
  const settled = async () => {
    if (end !== undefined || options.signal?.aborted) return true;
    const file = await readPidFile(account.cluster);
    return file?.pid === pid && file?.ready === true;
  };
  const inTime = await waitUntil(settled, options.timeoutMs);
  if (end === undefined && pid !== undefined && inTime && !options.signal?.aborted) {
    return { pid, port: options.port, exited };
  }
  if (pid !== undefined && end === undefined) await stop({ pid, port: options.port, exited }, account.cluster, 3_000);
  options.signal?.throwIfAborted();
  if (!inTime) throw startTimeout(account.cluster, options);
  return { failed: (await readFile(options.logFile)).subarray(offset).toString().trim() };
}

function startTimeout(cluster: string, options: Launch): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'start_timeout',
    `PostgreSQL on ${cluster} was not ready after ${options.timeoutMs / 1000} s.`,
    `Read ${options.logFile}: recovery after a crash may need longer.`,
  );
}

/**
 * Fast shutdown: sessions are cut, a checkpoint is written. When that takes longer than `timeoutMs` it is cut short:
 * the next start then replays the log, and nothing that was committed is lost.
 */
export async function stop(postmaster: Postmaster, cluster: string, timeoutMs: number): Promise<void> {
  const { pid } = postmaster;
  const gone = async () => !(await isAlive(pid));
  for (const [signal, limitMs] of [
    ['SIGINT', timeoutMs],
    ['SIGQUIT', 1_000],
  ] as const) {
    signalProcess(pid, signal);
    if (await waitUntil(gone, limitMs)) return;
  }
  await killAll(pid, cluster);
}

/** SIGKILL to the server and all its children at once, as a power cut would; and to children that it made meanwhile, which may wait a minute for their client. */
export async function killAll(pid: number, cluster: string): Promise<void> {
  const kill = (some: readonly number[]): void => {
    for (const one of some) signalProcess(one, 'SIGKILL');
  };
  const left = async (): Promise<readonly number[]> => {
    const children = await serverProcesses(cluster);
    kill(children);
    return children;
  };
  kill([...new Set([pid, ...(await serverProcesses(cluster))])]);
  const gone = async () => !(await isAlive(pid)) && (await left()).length === 0;
  // On a machine that is busy with other things even this takes its time.
  if (await waitUntil(gone, 30_000)) return;
  throw new EmbeddedPostgresError(
    'stop_failed',
    `PostgreSQL (process ${pid}) on ${cluster} does not end.`,
    'A process that SIGKILL does not end waits for the disk: check the disk, then start again.',
  );
}
