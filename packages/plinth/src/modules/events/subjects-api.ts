import { z } from 'zod';
import type { Principal } from '#kernel/rpc.ts';
import { allows, procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { reveal } from './personal.ts';
import { eraseSubject } from './subjects.ts';

/** Events for a caller: personal fields readable for those who may, as they are stored for others; the tombstone for both. */
export async function shownTo<Row extends { payload: Record<string, unknown> }>(
  ctx: { tx: AnyTransaction; principal: Principal },
  rows: readonly Row[],
): Promise<Row[]> {
  const payloads = await reveal(
    ctx.tx,
    rows.map((row) => ({ tenantId: ctx.tx.context.tenantId ?? '', value: row.payload })),
    { closed: !allows(ctx.principal.scopes, 'events.personal'), exact: true },
  );
  return rows.map((row, index) => ({ ...row, payload: payloads[index] ?? row.payload }));
}

/** Data subjects over the API. */
export const subjectsApi = {
  eraseSubject: procedure({
    rest: 'POST /events/subjects/erase',
    permission: 'events.erase',
    summary: 'Makes the personal fields of a data subject unreadable, for good',
    description:
      'In all events of the tenant. Writes the audit entry subject.erased and publishes events.subject_erased. A second time nothing is done and first is false.',
  })
    .input(z.object({ subject: z.string().min(1).max(500), reason: z.string().min(1).max(1000) }))
    .output(z.object({ key_id: z.guid(), erased_at: z.date(), first: z.boolean() }))
    .mutation(async ({ ctx, input }) => {
      const { keyId, erasedAt, first } = await eraseSubject(ctx.tx, input);
      return { key_id: keyId, erased_at: erasedAt, first };
    }),
};
