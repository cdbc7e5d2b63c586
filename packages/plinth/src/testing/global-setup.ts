/** Before the first test of a run: one server, one migrated template that every test file copies. After the last: nothing is left. */
import type { TestProject } from 'vitest/node';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import { modules } from '#registry';
import { collectFailedCalls, collectFunctionCalls, listFunctions } from './function-calls.ts';
import { startTestServer } from './postgres.ts';
import { databaseUrl, type TestRun, withClient } from './test-run.ts';

/** Called by Vitest; what it returns is called at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestServer();
  const prefix = `plinth_test_${Date.now().toString(36)}${process.pid.toString(36)}_`;
  const run: TestRun = {
    adminUrl: server.url,
    template: `${prefix}template`,
    prefix,
    serverRole: 'plinth_test_server',
    serverPassword: 'plinth_test_server',
  };
  try {
    await makeTemplate(run);
  } catch (error) {
    await server.stop();
    throw error;
  }
  project.provide('plinthTestRun', run);
  return async () => {
    await dropDatabases(run);
    collectFailedCalls(server.logFile);
    await server.stop();
  };
}

async function makeTemplate(run: TestRun): Promise<void> {
  await withClient(run.adminUrl, (client) => client.query(`create database ${run.template}`));
  const url = databaseUrl(run.adminUrl, run.template);
  await migrateUp({ url, modules });
  await createServerRole({ url, name: run.serverRole, password: run.serverPassword });
  await withClient(url, listFunctions);
}

/** Test files that were killed, or forgot to, leave databases; what their functions did counts all the same. */
async function dropDatabases(run: TestRun): Promise<void> {
  await withClient(run.adminUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>('select datname as name from pg_database where datname like $1', [
      `${run.prefix.replaceAll('_', '\\_')}%`,
    ]);
    for (const { name } of rows) {
      if (name !== run.template) await withClient(databaseUrl(run.adminUrl, name), collectFunctionCalls);
      await client.query(`drop database if exists "${name}" with (force)`);
    }
  });
}
