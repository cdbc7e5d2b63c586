/** One line a task, with its time when it is done; on a terminal the line is there while it runs. */

/**
 * @template T
 * @param {string} doing for example `Installing packages`
 * @param {string} done for example `Installed packages`
 * @param {() => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function task(doing, done, body) {
  const start = performance.now();
  const live = process.stdout.isTTY === true;
  process.stdout.write(live ? `… ${doing}` : '');
  const line = (mark, text) => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stdout.write(`${live ? '\r\x1b[2K' : ''}${mark} ${text} (${seconds} s)\n`);
  };
  try {
    const result = await body();
    line('✔', done);
    return result;
  } catch (error) {
    line('✘', doing);
    throw error;
  }
}
