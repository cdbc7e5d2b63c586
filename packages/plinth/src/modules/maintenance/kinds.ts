import { raiser } from '#kernel/errors.ts';
import type { RetentionServices } from '#kernel/retention/services.ts';
import { errors } from './errors.ts';

const fail = raiser('maintenance', errors);

/** Errors: maintenance_kind_unknown, which names the kinds there are. */
export async function assertKinds(services: Pick<RetentionServices, 'asWorker'>, kinds: readonly string[] | undefined): Promise<void> {
  if (!kinds) return;
  const known = await services.asWorker((tx) => tx.query<{ kind: string }>(`select kind from plinth_kernel.retention_kinds order by kind`));
  const unknown = kinds.find((kind) => !known.some((one) => one.kind === kind));
  if (unknown !== undefined)
    throw fail('kind_unknown', {
      message: `There is no kind of record called ${JSON.stringify(unknown.slice(0, 100))}`,
      detail: { kinds: known.map((one) => one.kind) },
    });
}
