import { z } from 'zod';
import { fail } from '#kernel/errors.ts';
import { parseExactJson } from '#kernel/exact-json.ts';
import type { Principal } from '#kernel/rpc.ts';
import { allows } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { CloudEvent } from '#modules/events';
import { cloudEventMessage, reveal, revealText } from '#modules/events';

export const format = z.enum(['standard', 'cloudevents-structured', 'cloudevents-binary']);

/** A body as it is stored: of cloudevents-binary a line of attributes and the data behind it. */
export interface StoredBody {
  /** Null: standard. */
  format: string | null;
  body: string;
}

/** Headers and body of the request for a stored body. */
export function requestOf({ format: form, body }: StoredBody): { headers: Record<string, string>; body: string } {
  if (form === 'cloudevents-structured') return { headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' }, body };
  if (form !== 'cloudevents-binary') return { headers: { 'content-type': 'application/json' }, body };
  const end = body.indexOf('\n');
  const { headers } = cloudEventMessage(JSON.parse(body.slice(0, end)) as CloudEvent, 'binary');
  return { headers, body: body.slice(end + 1) };
}

/** What `revealBodies` takes: the body of a delivery or message of one tenant. */
export interface SealedBody extends StoredBody {
  tenant_id: string;
}

const splitAt = ({ format: form, body }: StoredBody): number => (form === 'cloudevents-binary' ? body.indexOf('\n') + 1 : 0);

/**
 * The same rows with personal fields readable, or the tombstone where the subject was erased. One look-up for all; where that fails, each has its
 * own result, and `onFailure` hears of those whose key this process does not have.
 */
export async function revealBodies<Row extends SealedBody>(
  tx: AnyTransaction,
  rows: readonly Row[],
  onFailure: (row: Row, error: unknown) => Row,
): Promise<Row[]> {
  const values = rows.map((row) => ({ tenantId: row.tenant_id, value: parseExactJson(row.body.slice(splitAt(row))) }));
  try {
    const shown = await reveal(tx, values, { exact: true });
    return rows.map((row, nth) => ({ ...row, body: row.body.slice(0, splitAt(row)) + JSON.stringify(shown[nth]) }));
  } catch {
    const each: Row[] = [];
    for (const row of rows) each.push(await revealOne(tx, row).catch((error: unknown) => onFailure(row, error)));
    return each;
  }
}

async function revealOne<Row extends SealedBody>(tx: AnyTransaction, row: Row): Promise<Row> {
  const at = splitAt(row);
  return { ...row, body: row.body.slice(0, at) + (await revealText(tx, row.tenant_id, row.body.slice(at))) };
}

/** Whether a stored body may hold something to reveal. */
export const isSealedBody = (row: StoredBody): boolean => row.body.includes('"$encrypted"');

/** Permission to let a subscription have personal fields in readable form. */
export const REVEAL = 'webhooks.reveal';

function requireReveal(principal: Principal): void {
  if (!allows(principal.scopes, REVEAL))
    throw fail('forbidden', { message: `What reveals personal fields asks for the permission ${REVEAL}`, detail: { permission: REVEAL } });
}

/** What a change of a subscription says about where its messages go and what is in them. */
interface Change {
  reveal?: boolean | undefined;
  [field: string]: unknown;
}

const TELLING = ['mode', 'url', 'patterns', 'event_types', 'filter', 'transform', 'format'];

/**
 * Refuses what would show personal fields to somebody new: setting `reveal`, and sending elsewhere or something else where it is set. Errors:
 * kernel_forbidden, webhooks_subscription_not_found.
 */
export async function guardReveal(tx: AnyTransaction, principal: Principal, change: Change, id?: string): Promise<void> {
  if (change.reveal) return requireReveal(principal);
  if (id === undefined || change.reveal === false || !TELLING.some((field) => change[field] !== undefined)) return;
  const [old] = await tx.query<{ reveal: boolean }>('select (plinth_webhooks.require_subscription($1)).reveal', [id]);
  if (old?.reveal) requireReveal(principal);
}
