/**
 * How tests run. Project `plinth` has one PostgreSQL for all its files (global-setup.ts) and a database per file;
 * project `tools` needs no database and starts none. A workspace under apps/ may bring its own vitest.config.ts.
 */
import { defineConfig } from 'vitest/config';

const shared = {
  // A first database of a file is copied from the template while other files do the same: seconds on a busy machine.
  testTimeout: 60_000,
  hookTimeout: 120_000,
  // What is waited for comes at once on an idle machine; a second is not long on a busy one.
  expect: { poll: { timeout: 20_000 } },
  // Tests that say they may run at once do little but wait.
  maxConcurrency: 20,
};

export default defineConfig({
  test: {
    // One more than cores: some tests do little but wait, for a lease to end or a server to start.
    maxWorkers: 3,
    projects: [
      {
        test: {
          ...shared,
          name: 'plinth',
          // Files share a process and what it has imported, which takes a quarter off the run. So a file leaves nothing behind: no timer, no listener, no variable of the environment.
          isolate: false,
          include: ['packages/plinth/src/**/*.test.ts', 'examples/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          globalSetup: ['packages/plinth/src/testing/global-setup.ts'],
        },
      },
      {
        test: {
          ...shared,
          name: 'tools',
          include: ['packages/plinth-embedded/src/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ['**/node_modules/**'],
        },
      },
      'apps/*/vitest.config.ts',
    ],
  },
});
