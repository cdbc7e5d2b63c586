import { defineConfig } from 'vitest/config';

/** The parts of the console that need no browser; test/console drives the whole of it in Chromium. */
export default defineConfig({ test: { name: 'console', include: ['src/**/*.test.ts'], environment: 'node' } });
