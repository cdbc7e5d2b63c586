import type { Queryable } from '#kernel/database.ts';
import { messageOf } from '#kernel/thrown.ts';

type AsWorker = <T>(body: (tx: Queryable) => Promise<T>) => Promise<T>;

/**
 * Makes the partitions of every kind, `ahead` periods ahead, each kind in a transaction of its own: a table that somebody has locked keeps no other from its partitions, and
 * nobody waits for the locks of the others meanwhile. Returns how many were made. Errors: what kept one from being made, when all others have theirs.
 */
export async function premakePartitions(asWorker: AsWorker, ahead = 3): Promise<number> {
  const kinds = await asWorker((tx) => tx.query<{ kind: string }>(`select kind from plinth_kernel.retention_kinds where method = 'partition' order by kind`));
  const failures: { kind: string; error: unknown }[] = [];
  let made = 0;
  for (const { kind } of kinds) {
    try {
      const [row] = await asWorker((tx) => tx.query<{ made: number | null }>('select plinth_kernel.partition_premake_kind($1, $2) as made', [kind, ahead]));
      made += row?.made ?? 0;
    } catch (error) {
      failures.push({ kind, error });
    }
  }
  const [first] = failures;
  if (first && failures.length === kinds.length) throw first.error;
  if (first)
    throw new Error(failures.map(({ kind, error }) => `no partitions could be made for ${kind}: ${messageOf(error)}`).join('; '), { cause: first.error });
  return made;
}
