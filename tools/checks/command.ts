/** Runs one program of node_modules/.bin and keeps what it printed. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { root } from '../repo.ts';

export type Printed = { code: number; stdout: string; stderr: string };

/** Runs `program` in `folder` under this same Node; killed after `timeoutMs` (default 110 s). */
export function command(program: string, args: readonly string[], folder: string, timeoutMs = 110_000): Promise<Printed> {
  const { promise, resolve, reject } = Promise.withResolvers<Printed>();
  const bin = existsSync(join(folder, 'node_modules/.bin')) ? folder : root;
  const path = [dirname(process.execPath), join(bin, 'node_modules/.bin'), process.env.PATH ?? ''].join(delimiter);
  const child = spawn(program === 'node' ? process.execPath : join(bin, 'node_modules/.bin', program), args, {
    cwd: folder,
    env: { ...process.env, PATH: path, NO_COLOR: '1', FORCE_COLOR: '0', CI: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.on('error', reject);
  child.on('close', (code, signal) => {
    if (signal) stderr += `\n${program} was stopped by ${signal} after ${timeoutMs} ms`;
    resolve({ code: code ?? 1, stdout, stderr });
  });
  return promise;
}

/** The lines worth showing of a failed program, at most `most`. */
export function faultLines({ code, stdout, stderr }: Printed, most = 60): string[] {
  if (code === 0) return [];
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
  return lines.length > 0 ? lines.slice(0, most) : [`exit code ${code} and not a word`];
}

/** The first number a pattern captures in what was printed, or 0. */
export const counted = ({ stdout, stderr }: Printed, pattern: RegExp): number => Number(pattern.exec(`${stdout}\n${stderr}`)?.[1] ?? 0);
