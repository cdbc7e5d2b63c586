/**
 * Resolves at SIGINT or SIGTERM, or when `ended` does. A second signal ends the process at once; the data survive that
 * too. npm passes a Ctrl-C on a second time, hence the pause before one counts.
 */
export function untilStopped(ended: Promise<unknown>): Promise<'signal' | 'ended'> {
  const { promise, resolve } = Promise.withResolvers<'signal' | 'ended'>();
  let first = 0;
  const stop = (): void => {
    if (first === 0) {
      first = performance.now();
      resolve('signal');
    } else if (performance.now() - first > 500) {
      process.exit(130);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  void ended.then(() => resolve('ended'));
  return promise;
}
