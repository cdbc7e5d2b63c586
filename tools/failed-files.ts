/** A reporter of Vitest for `npm test`: writes which files failed, so that a few of them can be given a second try. A default export, because Vitest loads it by its path. */
import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

export default class FailedFiles implements Reporter {
  onTestRunEnd(files: readonly TestModule[], errors: readonly unknown[]): void {
    const path = process.env.PLINTH_FAILED_FILES_FILE;
    if (path === undefined) return;
    const failed = files.filter((file) => file.state() === 'failed').map((file) => file.moduleId);
    // An error outside of every test belongs to no file: nothing can be tried again for it.
    writeFileSync(path, JSON.stringify(errors.length > 0 ? [] : failed));
  }
}
