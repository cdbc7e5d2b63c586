import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Redis {
  port: number;
  stop(): Promise<void>;
}

const freePort = async (): Promise<number> => {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number>();
  server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  const port = await promise;
  server.close();
  return port;
};

/**
 * Redis with the durability that people run BullMQ with: append-only file, fsync every second (its own advice).
 * Errors: an Error with a way out when redis-server is not installed.
 */
export async function startRedis(): Promise<Redis> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'plinth-bench-redis-'));
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const ended = new Promise<void>((end) => child.once('exit', () => end()));
  child.once('error', () => resolve(false));
  child.once('exit', () => resolve(false));
  child.stdout.on('data', (chunk: Buffer) => chunk.toString().includes('Ready to accept connections') && resolve(true));
  if (!(await promise)) {
    rmSync(folder, { recursive: true, force: true });
    throw Object.assign(new Error('Redis is not installed or does not start'), { wayOut: 'Debian: apt-get install redis-server' });
  }
  return {
    port,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
