/** What people read: a task list with times, a box, a table. Programs use --json. */
import { refusalWayOut } from './doctor-incidents.ts';
import { SettingFault } from './environment.ts';

const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
export const dim = (text: string): string => paint(2, text);
export const bold = (text: string): string => paint(1, text);
export const green = (text: string): string => paint(32, text);
export const red = (text: string): string => paint(31, text);

/** Everything that steers a terminal or the direction of text, which who wrote a title or an error may have put there. */
const STEERING = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const escaped = (sign: string): string => `\\u${(sign.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
/** Text of others, in one line that does nothing to the terminal. */
export const plain = (text: string): string => text.replaceAll(STEERING, escaped);
/** The same in several lines. */
const plainLines = (text: string): string => text.split('\n').map(plain).join('\n');

export const say = (text = ''): void => void process.stdout.write(`${text}\n`);

export const seconds = (ms: number): string => (ms < 950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Runs one step of a list and prints it with its time; `said` turns the result into what stands behind the name. */
export async function task<T>(name: string, run: () => Promise<T>, said?: (result: T) => string): Promise<T> {
  const started = performance.now();
  try {
    const result = await run();
    const more = said?.(result);
    say(`  ${green('✔')} ${more ?? name} ${dim(`(${seconds(performance.now() - started)})`)}`);
    return result;
  } catch (error) {
    say(`  ${red('✘')} ${name}`);
    throw error;
  }
}

/** Lines of `label  value` in a frame. */
export function box(lines: readonly (readonly [string, string])[]): void {
  const label = Math.max(...lines.map(([name]) => name.length));
  const rows = lines.map(([name, value]) => ` ${name.padEnd(label)}  ${value} `);
  const width = Math.max(...rows.map((row) => row.length));
  say(`┌${'─'.repeat(width)}┐`);
  for (const row of rows) say(`│${row.padEnd(width)}│`);
  say(`└${'─'.repeat(width)}┘`);
}

/** A table with its numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const text = [head, ...rows].map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : plain(cell))));
  const widths = head.map((_, column) => Math.max(...text.map((row) => (row[column] ?? '').length)));
  text.forEach((row, index) => {
    const cells = row.map((cell, column) =>
      index > 0 && typeof rows[index - 1]?.[column] === 'number' ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    say(`  ${index === 0 ? bold(cells.join('  ')) : cells.join('  ')}`.trimEnd());
  });
}

/** No server there, or none that knows this role or database. */
const UNREACHED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', '28P01', '28000', '3D000']);

/** Prints an expected failure as sentence and way out, and ends with exit code 1; 2 when the command was called wrongly. */
export function complain(error: unknown): void {
  const { message, wayOut, hint, code, cause } = error as { message?: string; wayOut?: string; hint?: string; code?: string; cause?: unknown };
  process.stderr.write(`\n${red('✘')} ${plainLines(message ?? String(error))}\n`);
  const unreached = UNREACHED.has(code ?? '') ? 'Start the server, and check host, port, user, password and database of the URL.' : undefined;
  const way = wayOut ?? hint ?? unreached ?? refusalWayOut(error) ?? refusalWayOut(cause);
  if (way) process.stderr.write(`  ${plainLines(way)}\n`);
  if (process.env.PLINTH_LOG_LEVEL === 'debug' && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  process.exitCode = error instanceof SettingFault ? 2 : 1;
}

/** Wraps a command so that what it throws is told and not dumped. */
export const told =
  <Args>(run: (args: Args) => Promise<void>) =>
  async (args: Args): Promise<void> => {
    try {
      await run(args);
    } catch (error) {
      complain(error);
    }
  };
