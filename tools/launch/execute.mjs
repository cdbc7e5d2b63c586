/** Runs a program in our place: its input and output are ours, signals reach it once, its exit code becomes ours. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/**
 * @param {string} root folder of the repository
 * @param {string} node path of the Node to run under
 * @param {readonly string[]} args
 * @returns {Promise<number>} the exit code; 128 + n after signal n
 */
export function execute(root, node, args) {
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: 'inherit',
    env: {
      ...process.env,
      // Programs that it starts by the name `node` get the same one.
      PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`,
      // Compiled and type-stripped code is kept: a second start loads it instead of making it again.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, 'node_modules', '.cache', 'compiled'),
    },
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
  let last = Number.NEGATIVE_INFINITY;
  process.on('SIGINT', () => {
    // npm passes Ctrl-C on although the terminal has sent it to us as well; a second one within a moment is the same one.
    const now = performance.now();
    if (!inForeground() && now - last > 500) child.kill('SIGINT');
    last = now;
  });
  if (process.env.npm_lifecycle_event !== undefined) watchParent(() => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 1)));
  });
}

/** npm that is killed outright tells nobody; its child is given to another parent then, and has to stop by itself. */
function watchParent(onGone) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, 500);
  timer.unref();
}

/** Whether the terminal's Ctrl-C goes to our whole process group, so that the child has it already. */
function inForeground() {
  if (process.platform !== 'linux') return process.stdin.isTTY === true;
  try {
    const text = readFileSync('/proc/self/stat', 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [group, foreground] = [fields[2], fields[5]];
    return group === foreground;
  } catch {
    return process.stdin.isTTY === true;
  }
}
