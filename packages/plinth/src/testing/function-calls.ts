/**
 * PostgreSQL checks the body of a plpgsql function only when it runs, so one that no test calls may be broken unseen.
 * The server counts calls; every test database adds its counts to one file, and tools/test.ts names those never called.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import type { ClientBase } from 'pg';

const file = (): string | undefined => process.env.PLINTH_FUNCTION_CALLS_FILE;

/** Writes down every plpgsql function of the template: what there is to call. */
export async function listFunctions(client: ClientBase): Promise<void> {
  if (file() === undefined) return;
  const { rows } = await client.query<{ name: string }>(`
    select format('%s.%s', n.nspname, p.proname) as name
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    join pg_catalog.pg_language l on l.oid = p.prolang
    where l.lanname = 'plpgsql' and (n.nspname = 'plinth' or n.nspname like 'plinth\\_%')`);
  write({ exists: rows.map(({ name }) => name) });
}

/** Adds what was called in this database. Sessions report when they end, so close the others first. */
export async function collectFunctionCalls(client: ClientBase): Promise<void> {
  if (file() === undefined) return;
  const { rows } = await client.query<{ name: string }>(`
    select format('%s.%s', schemaname, funcname) as name
    from pg_catalog.pg_stat_user_functions
    where calls > 0 and (schemaname = 'plinth' or schemaname like 'plinth\\_%')`);
  write({ called: rows.map(({ name }) => name) });
}

/**
 * A call that ends in an error is not counted, and a function that only ever refuses is counted never. The server's log
 * names it in the context of its error. Without a log the run cannot tell such a function from one that nothing calls.
 */
export function collectFailedCalls(logFile: string | undefined): void {
  if (file() === undefined) return;
  if (logFile === undefined) {
    write({ failedCallsUnknown: true });
    return;
  }
  const contexts = readFileSync(logFile, 'utf8').matchAll(/PL\/pgSQL function ([a-z0-9_]+\.[a-z0-9_]+)\(/g);
  write({ called: [...new Set([...contexts].map(([, name]) => name ?? ''))] });
}

function write(line: { exists: string[] } | { called: string[] } | { failedCallsUnknown: true }): void {
  const target = file();
  if (target !== undefined) appendFileSync(target, `${JSON.stringify(line)}\n`);
}
