import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ChildSettings } from './child.ts';

export interface Child {
  readonly port: number;
  /** SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>;
}

const START_MS = 120_000;

const gone = (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  return promise;
};

/** Starts a process of the replay and resolves when it says that it is ready. Errors: an Error with what it complained of. */
export async function startChild(settings: ChildSettings): Promise<Child> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('child.ts', import.meta.url))], {
    env: { ...process.env, PLINTH_REPLAY: JSON.stringify(settings) },
    // The child ends when this pipe does: with us, however we end.
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-2000);
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const timer = setTimeout(() => reject(new Error(`the ${settings.part} was not ready within ${START_MS / 1000} s\n${complaint}`)), START_MS);
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{"ready"')) resolve((JSON.parse(line) as { port: number }).port);
  });
  child.once('exit', (code) => reject(new Error(`the ${settings.part} ended with ${code}\n${complaint}`)));
  try {
    const port = await promise;
    return {
      port,
      async kill() {
        child.kill('SIGKILL');
        await gone(child);
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
