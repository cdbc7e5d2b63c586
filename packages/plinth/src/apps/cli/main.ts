/** The `plinth` command. Each subcommand is a file of its own, loaded only when it is called. */
import type { CommandDef } from 'citty';
import { defineCommand } from 'citty';
import { VERSION } from '#apps/server/version.ts';
import { call } from './call.ts';

const main = defineCommand({
  meta: { name: 'plinth', version: VERSION, description: 'The system layer of a multi-tenant back end, in your Postgres.' },
  subCommands: {
    dev: () => import('./dev.ts').then((file) => file.dev),
    start: () => import('./serve.ts').then((file) => file.start),
    worker: () => import('./serve.ts').then((file) => file.worker),
    login: () => import('./login.ts').then((file) => file.login),
    migrate: () => import('./migrate.ts').then((file) => file.migrate),
    doctor: () => import('./doctor.ts').then((file) => file.doctor),
    maintain: () => import('./maintain.ts').then((file) => file.maintain),
    'erase-tenant': () => import('./erase-tenant.ts').then((file) => file.eraseTenantCommand),
    consumers: () => import('./consumers.ts').then((file) => file.consumers),
    events: () => import('./events.ts').then((file) => file.events),
    keys: () => import('./keys.ts').then((file) => file.keys),
    projections: () => import('./projections.ts').then((file) => file.projections),
    trace: () => import('./trace.ts').then((file) => file.trace),
    replay: () => import('./replay.ts').then((file) => file.replay),
    'new-module': () => import('./new-module-command.ts').then((file) => file.newModuleCommand),
  },
});

/**
 * A reader that has seen enough (`plinth trace <id> | head`) is no fault: what is left goes nowhere, and the command ends as it would
 * have. What runs until it is stopped stops in order.
 */
function endWithReader(): void {
  let told = false;
  const heard = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error;
    if (!told && process.listenerCount('SIGTERM') > 0) process.emit('SIGTERM');
    told = true;
  };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', heard);
}

endWithReader();
const typed = process.argv.slice(2);
if (typed.length === 1 && typed[0] === '--version') process.stdout.write(`${VERSION}\n`);
else await call(main as CommandDef, typed);
