/** Follows a growing log file line by line. */
import { closeSync, fstatSync, openSync, readSync, watch } from 'node:fs';

export interface LogFollower {
  stop(): void;
}

/** Calls `onLine` for every line appended from now on. The watcher does not hold the process open. */
export function followLog(file: string, onLine: (line: string) => void): LogFollower {
  const descriptor = openSync(file, 'r');
  let position = fstatSync(descriptor).size;
  let rest = '';
  const read = () => {
    const size = fstatSync(descriptor).size;
    if (size < position) position = 0;
    const chunk = Buffer.alloc(size - position);
    position += readSync(descriptor, chunk, 0, chunk.length, position);
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  };
  const watcher = watch(file, { persistent: false }, read);
  let stopped = false;
  return {
    stop() {
      if (stopped) return;
      stopped = true;
      watcher.close();
      read();
      closeSync(descriptor);
    },
  };
}
