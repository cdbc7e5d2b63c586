/** The `plinth` command. Each subcommand is a file of its own, loaded only when it is called. */
import { defineCommand, runMain } from 'citty';

const main = defineCommand({
  meta: { name: 'plinth', version: '0.1.0', description: 'The system layer of a multi-tenant back end, in your Postgres.' },
  subCommands: {
    dev: () => import('./dev.ts').then((file) => file.dev),
    start: () => import('./serve.ts').then((file) => file.start),
    worker: () => import('./serve.ts').then((file) => file.worker),
    migrate: () => import('./migrate.ts').then((file) => file.migrate),
    doctor: () => import('./doctor.ts').then((file) => file.doctor),
    maintain: () => import('./maintain.ts').then((file) => file.maintain),
    events: () => import('./events.ts').then((file) => file.events),
    keys: () => import('./keys.ts').then((file) => file.keys),
    projections: () => import('./projections.ts').then((file) => file.projections),
    trace: () => import('./trace.ts').then((file) => file.trace),
    replay: () => import('./replay.ts').then((file) => file.replay),
    'new-module': () => import('./new-module-command.ts').then((file) => file.newModuleCommand),
  },
});

await runMain(main);
