/**
 * Runs the examples of a README. A fence ```` ```sql run ```` is sent as plinth_app in one transaction of tenant A, which is
 * committed, with tenant A for `<tenant id>`; ```` ```ts run ```` is a program of its own in packages/plinth, which finds the server's URL in
 * PLINTH_DATABASE_URL, tenant A in PLINTH_TENANT_ID and the owner's URL in PLINTH_MAINTENANCE_URL; ```` ```sql setup ```` is what the owner of a
 * database does once, and runs before the others of its page. Other fences are only shown.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import pg from 'pg';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';
import { lineAt } from '../tools/checks/source-text.ts';

export type Example = { kind: 'setup' | 'sql' | 'ts'; line: number; text: string };

/** The fences of a Markdown text that are to be run, in the order in which they are. */
export function readmeExamples(markdown: string): Example[] {
  const found = [...markdown.matchAll(/^```(sql run|ts run|sql setup)\n([\s\S]*?)^```$/gm)].map(
    (match): Example => ({
      kind: match[1] === 'sql setup' ? 'setup' : match[1] === 'sql run' ? 'sql' : 'ts',
      line: lineAt(markdown, match.index),
      text: match[2] ?? '',
    }),
  );
  return [...found.filter(({ kind }) => kind === 'setup'), ...found.filter(({ kind }) => kind !== 'setup')];
}

/** Runs one example. Errors: what the database raised, or what the program printed. */
export async function runExample(example: Example, database: TestDatabase): Promise<void> {
  if (example.kind === 'setup') await database.admin.query(example.text);
  else if (example.kind === 'sql') await runSql(example.text, database);
  else await runProgram(example.text, database);
}

async function runSql(text: string, database: TestDatabase): Promise<void> {
  const client = new pg.Client({ connectionString: database.serverUrl });
  await client.connect();
  try {
    await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${database.tenantA}'; set local plinth.actor_id = 'readme'`);
    await client.query(text.replaceAll('<tenant id>', database.tenantA));
    await client.query('commit');
  } finally {
    await client.end();
  }
}

async function runProgram(text: string, database: TestDatabase): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module-typescript'], {
    cwd: join(import.meta.dirname, '../packages/plinth'),
    env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, PLINTH_TENANT_ID: database.tenantA, PLINTH_MAINTENANCE_URL: database.url },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  child.on('error', reject);
  child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`the example ended with ${code ?? 'a time-out'}:\n${printed}`))));
  child.stdin.end(text);
  await promise;
}
