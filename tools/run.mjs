/**
 * The one door of the npm scripts: `node tools/run.mjs <verb> [...args]`. It runs on whatever Node (20 or newer) and npm
 * the machine has, with Node's built-ins alone, because on a fresh clone nothing else is there: it installs what is
 * missing, then runs the verb's program under the pinned Node.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute } from './launch/execute.mjs';
import { Fault } from './launch/fault.mjs';
import { ensureInstalled } from './launch/install.mjs';
import { findNode } from './launch/node.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cli = 'packages/plinth/src/apps/cli/main.ts';

/** What each verb runs, and in one line what for. */
const verbs = {
  start: { program: [cli, 'dev'], does: 'start PostgreSQL, API, worker and console' },
  plinth: { program: [cli], does: 'run a command of the plinth CLI' },
  test: { program: ['tools/test.ts'], does: 'run every check and test' },
  check: { program: ['tools/check.ts'], does: 'run everything static' },
  gen: { program: ['tools/gen.ts'], does: 'write the generated files; --check compares only' },
  pack: { program: ['tools/pack.ts'], does: 'make the packages that npm gets' },
  bench: { program: ['bench/run.ts'], does: 'measure; name a benchmark' },
};

async function main([verb, ...args]) {
  const chosen = Object.hasOwn(verbs, verb ?? '') ? verbs[verb] : undefined;
  if (chosen === undefined) {
    const list = Object.entries(verbs).map(([name, { does }]) => `  ${name.padEnd(8)}${does}`);
    throw new Fault(`There is no verb ${verb ?? ''}`.trim(), `Choose one:\n${list.join('\n')}`);
  }
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Fault(`Node ${process.versions.node} is too old to install Plinth.`, 'Install Node 20 or newer.');
  }
  await ensureInstalled(root);
  const node = await findNode(root);
  const [program, ...fixed] = chosen.program;
  if (!existsSync(join(root, program))) throw new Fault(`${program} is missing.`, 'Restore it: git checkout -- .');
  return execute(root, node, [join(root, program), ...fixed, ...args]);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  console.error(`\n✘ ${error.message}\n  ${error.wayOut}`);
  process.exitCode = error.exitCode;
}
