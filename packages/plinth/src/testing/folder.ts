/** Where the data of servers for tests lie. */
import { constants } from 'node:fs';
import { access, readFile, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';

const MEMORY = '/dev/shm';
const GIB = 1024 ** 3;
/** A run needs less than 2 GiB; what is asked for leaves as much again to the others. */
const FREE_SPACE = 4 * GIB;
const FREE_MEMORY = 8 * GIB;

/**
 * In memory where there is plenty of it, else the folder for temporary files. Every test file makes and drops a database of 1,500 files, and
 * ext4 passes over each file that was deleted in the last seconds before it makes one (recently_deleted, fs/ext4/ialloc.c): 1.0 s
 * for a database instead of 0.1.
 */
export async function testFolder(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    await access(MEMORY, constants.W_OK);
    const [, options = ''] = (await readFile('/proc/self/mounts', 'utf8')).match(/ \/dev\/shm tmpfs (\S+)/) ?? [];
    // A test copies PostgreSQL and runs the copy.
    const runsPrograms = !options.split(',').includes('noexec');
    if (runsPrograms && bavail * bsize >= FREE_SPACE && process.availableMemory() >= FREE_MEMORY) return MEMORY;
  } catch {
    // It is Linux that has one.
  }
  return tmpdir();
}
