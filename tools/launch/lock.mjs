/** A lock file with the number of the process that holds it. A lock whose process is gone is nobody's. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Fault } from './fault.mjs';

const longestWaitMs = 15 * 60_000;

/**
 * Runs `body` while holding the lock; waits for another process that holds it, and says so.
 * @param {string} file
 * @param {() => Promise<void>} body
 */
export async function withLock(file, body) {
  const end = Date.now() + longestWaitMs;
  let told = false;
  while (!take(file)) {
    const holder = holderOf(file);
    if (holder === undefined) continue;
    if (!told) console.log(`… Waiting for process ${holder}, which is installing`);
    told = true;
    if (Date.now() > end) throw new Fault(`Process ${holder} has held ${file} for too long.`, 'End it, then run this again.');
    await pause(200);
  }
  const release = () => rmSync(file, { force: true });
  process.once('exit', release);
  try {
    await body();
  } finally {
    process.off('exit', release);
    release();
  }
}

function take(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

/** The living process that holds the lock; the lock of a dead one is removed. */
function holderOf(file) {
  let pid;
  try {
    pid = Number(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
  // Taken a moment ago and not written yet.
  if (pid === 0) return 'another';
  try {
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    if (error.code === 'EPERM') return pid;
    rmSync(file, { force: true });
    return undefined;
  }
}
