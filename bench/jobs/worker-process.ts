import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const chaosWorker = fileURLToPath(new URL('./chaos-worker.fixture.ts', import.meta.url));

/** A place for one worker process: what dies in it is replaced. */
export interface WorkerSlot {
  readonly name: string;
  readonly pid: number;
  /** SIGKILL, resolves when it is gone. */
  kill(): Promise<void>;
  /** Another one in its place. */
  start(): void;
  signal(name: NodeJS.Signals): void;
}

export interface SlotOptions {
  /** What it runs. Default: the worker of the jobs' chaos. */
  program?: string | undefined;
  name: string;
  serverUrl: string;
  leaseMs?: number | undefined;
  /** Effects and completion in transactions of their own. */
  separate?: boolean | undefined;
  onLine(line: string, slot: string): void;
}

export function workerSlot(options: SlotOptions): WorkerSlot {
  let generation = 0;
  let child: ChildProcess;
  let gone: Promise<void>;
  const start = (): void => {
    generation++;
    child = spawn(process.execPath, ['--no-warnings', options.program ?? chaosWorker], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        PLINTH_DATABASE_URL: options.serverUrl,
        WORKER_NAME: `${options.name}.${generation}`,
        SEPARATE: options.separate ? '1' : '',
        LEASE_MS: options.leaseMs === undefined ? '' : String(options.leaseMs),
      },
    });
    const started = child;
    gone = new Promise((resolve) => started.once('exit', () => resolve()));
    if (started.stdout) createInterface({ input: started.stdout }).on('line', (line) => options.onLine(line, options.name));
  };
  start();
  return {
    name: options.name,
    get pid() {
      return child.pid ?? 0;
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    start,
    signal: (name) => void child.kill(name),
  };
}
