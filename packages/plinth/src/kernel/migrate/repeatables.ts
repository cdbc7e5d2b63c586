import type pg from 'pg';
import type { Grant } from './dependants.ts';
import { builtOn, dropOurs, goneWith, inUse } from './dependants.ts';
import type { Repeatable } from './files.ts';

/** Functions and views: applied again, and what stands on them and is not ours left in peace. */

/** Missing function, table, column or type: the file needs one that is applied after it. */
const NEEDS_ANOTHER = new Set(['42883', '42P01', '42704', '42703']);

/** The columns of a view, or what a function returns or calls its parameters, changed so that it cannot be replaced; or its file only creates it. */
const MUST_BE_DROPPED = new Set(['42P16', '42P07', '42P13', '42723']);

const CREATES = /\bcreate\s+(?:or\s+replace\s+)?(?:view|function|procedure)\s+([a-z0-9_.]+)/i;

/** `plinth.audit_logs`: what the file creates. */
export const createdBy = (file: Repeatable): string => CREATES.exec(file.text)?.[1]?.toLowerCase() ?? '';

const bare = (name: string): string => name.replace(/\(.*$/, '');

async function applyFile(client: pg.ClientBase, file: Repeatable): Promise<{ code: string; error: Error } | undefined> {
  await client.query('savepoint one_file');
  try {
    await client.query(file.text);
    await client.query('release savepoint one_file');
    return undefined;
  } catch (error) {
    await client.query('rollback to savepoint one_file');
    return {
      code: (error as { code?: string }).code ?? '',
      error: new Error(`${file.module}/${file.kind}s/${file.name}.sql: ${(error as Error).message}`, { cause: error }),
    };
  }
}

/** In schema public others may have functions of the same name. */
const OVERLOADS = `select p.oid::pg_catalog.regprocedure::text as signature from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace where n.nspname = $1 and p.proname = $2
    and (n.nspname <> 'public' or pg_catalog.obj_description(p.oid, 'pg_proc') like 'Plinth:%')`;

/** Functions of the name that a file makes, with their parameters: `plinth.retry_job(uuid,integer)`. */
async function overloadsOf(client: pg.ClientBase, file: Repeatable): Promise<string[]> {
  if (file.kind !== 'function') return [];
  const { rows } = await client.query<{ signature: string }>(OVERLOADS, createdBy(file).split('.'));
  return rows.map(({ signature }) => signature);
}

/**
 * What has to go for a file to make its one object: what it could not replace, or the function as it was with other parameters, beside which calls would be ambiguous. In the
 * transaction that makes it anew, so that nobody finds neither.
 */
async function inTheWay(client: pg.ClientBase, file: Repeatable, before: readonly string[], code: string | undefined): Promise<readonly string[]> {
  if (code !== undefined) return file.kind === 'view' ? [createdBy(file)] : before;
  return before.length > 0 && (await overloadsOf(client, file)).length > before.length ? before : [];
}

/**
 * Applies every function and view. They may stand in any order: what fails for want of another is tried again until a round brings nothing
 * new. A view whose columns changed, or a function whose parameters did, is dropped, with what of ours stands on it, and made again. Returns the privileges that were
 * lost with what was dropped. What no file makes any more stays until a migration drops it. Errors: kernel_object_in_use.
 */
export async function applyRepeatables(client: pg.ClientBase, files: readonly Repeatable[]): Promise<Grant[]> {
  const ours = files.map(createdBy);
  const grants: Grant[] = [];
  // Views last: from then on who reads one waits for the commit.
  let waiting = files.toSorted((a, b) => Number(a.kind === 'view') - Number(b.kind === 'view'));
  while (waiting.length > 0) {
    const failed: { file: Repeatable; error: Error }[] = [];
    const gone = new Set<string>();
    for (const file of waiting) {
      const before = await overloadsOf(client, file);
      const fault = await applyFile(client, file);
      if (fault && NEEDS_ANOTHER.has(fault.code)) {
        failed.push({ file, error: fault.error });
        continue;
      }
      const old = !fault || MUST_BE_DROPPED.has(fault.code) ? await inTheWay(client, file, before, fault?.code) : [];
      const names: string[] = [];
      for (const one of old) {
        const dropped = await dropOurs(client, one, ours);
        grants.push(...dropped.grants);
        names.push(...dropped.names);
      }
      if (fault && names.length === 0) throw fault.error;
      for (const name of names) gone.add(bare(name));
    }
    if (gone.size === 0 && failed.length === waiting.length) throw failed[0]?.error ?? new Error('no repeatable could be applied');
    const again = new Set(failed.map(({ file }) => file));
    waiting = files.filter((file) => again.has(file) || gone.has(createdBy(file)));
  }
  return grants;
}

export interface ViewOutlook {
  name: string;
  /** `drop`: its columns change, so that it is dropped and made again. `open`: that shows only when what is pending is applied. */
  fate: 'drop' | 'open';
  /** Objects of others that stand on it. */
  builtOn: string[];
}

/** Old columns that are not the same in the new view, at their places. */
const CHANGED = `select 1 from pg_attribute old left join pg_attribute fresh on fresh.attrelid = to_regclass($2) and fresh.attnum = old.attnum
    and (fresh.attname, fresh.atttypid, fresh.atttypmod, fresh.attcollation) = (old.attname, old.atttypid, old.atttypmod, old.attcollation)
  where old.attrelid = to_regclass($1) and old.attnum > 0 and fresh.attrelid is null limit 1`;

/**
 * Which installed views a run would have to drop. Each is made as a temporary view beside the live one and rolled back, so that nothing
 * that is read in the meantime waits.
 */
export async function viewOutlook(client: pg.ClientBase, files: readonly Repeatable[]): Promise<ViewOutlook[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'v' and n.nspname like 'plinth%'`,
  );
  const live = new Set(rows.map((row) => row.name));
  const views = files.filter((file) => file.kind === 'view' && live.has(createdBy(file)));
  if (views.length === 0) return [];
  const ours = files.map(createdBy);
  const found = new Map<string, ViewOutlook['fate']>();
  const open = (name: string): void => void (found.has(name) || found.set(name, 'open'));
  await client.query('begin');
  try {
    const owner = await client.query('set local role plinth_owner').then(
      () => true,
      () => false,
    );
    for (const file of owner ? views : []) {
      const name = createdBy(file);
      const tried = `pg_temp.${name.split('.')[1] ?? ''}`;
      const fault = await applyFile(client, { ...file, text: file.text.replaceAll(new RegExp(`\\b${name.replace('.', '\\.')}\\b`, 'g'), tried) });
      if (fault) open(name);
      else if ((await client.query(CHANGED, [name, tried])).rowCount) for (const one of await goneWith(client, name, ours)) found.set(one, 'drop');
    }
    if (!owner) for (const file of views) open(createdBy(file));
  } finally {
    await client.query('rollback');
  }
  const outlook: ViewOutlook[] = [];
  for (const [name, fate] of [...found].sort()) outlook.push({ name, fate, builtOn: await builtOn(client, name, ours) });
  return outlook;
}

/** Errors: kernel_object_in_use. */
export function refuseUsed(outlook: readonly ViewOutlook[]): void {
  const used = outlook.find((view) => view.fate === 'drop' && view.builtOn.length > 0);
  if (used) throw inUse(used.name, used.builtOn);
}
