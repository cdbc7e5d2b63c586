import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A server in a process of its own. */
export interface ServerProcess {
  readonly port: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const started = (file: string, env: Record<string, string>): ChildProcess =>
  fork(fileOf(file), { execArgv: ['--no-warnings'], env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });

const answerOf = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a process of the benchmark ended with ${code}`));
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message as T);
    });
    child.once('exit', ended);
  });

export async function serverProcess(file: string, url: string, port = 0, logLevel = 'warn'): Promise<ServerProcess> {
  const child = started(file, { PLINTH_DATABASE_URL: url, PORT: String(port), LOG_LEVEL: logLevel });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const answer = await answerOf<{ port: number }>(child);
  return {
    port: answer.port,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** What the readers of a process have seen since `clear`. */
export interface Seen {
  received: number;
  gaps: number;
  repeats: number;
  ends: number;
  resumed: number;
  slowestResumeMs: number;
  failures: number;
  /** Readers that are not connected, or were told nothing since they came back. */
  away: number;
  /** Highest number that every reader has seen. */
  behind: number;
  p50: number;
  p99: number;
}

export interface Readers {
  open(order: { protocol: 'sse' | 'socket.io'; ports: number[]; key: string; path: string; count: number }): Promise<Seen>;
  clear(): Promise<Seen>;
  tell(): Promise<Seen>;
  close(): Promise<Seen>;
  end(): void;
}

export function readers(): Readers {
  const child = started('./clients.fixture.ts', {});
  const ask = (message: object): Promise<Seen> => {
    const answer = answerOf<Seen>(child);
    child.send(message);
    return answer;
  };
  return {
    open: (order) => ask({ kind: 'open', ...order }),
    clear: () => ask({ kind: 'clear' }),
    tell: () => ask({ kind: 'tell' }),
    close: () => ask({ kind: 'close' }),
    end: () => void child.kill('SIGKILL'),
  };
}
