#!/usr/bin/env node
// The command `plinth`. Node runs the TypeScript sources as they are, from version 22.18 on; undici wants 22.19.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`Plinth needs Node 22.19 or newer; this is ${process.versions.node}. In a clone, use: npm run plinth -- <command>`);
  process.exit(1);
}
await import('../src/apps/cli/main.ts');
