import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { fail } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Call, CallContext, Principal, Waiting } from '#kernel/rpc.ts';
import { allows, lacking } from '#kernel/rpc.ts';
import type { AnyTransaction, TransactionInput } from '#kernel/transaction.ts';
import type { AccessTransaction } from '#modules/access';
import { NO_TENANT, noteOperatorAccess } from '#modules/access';
import { readSnapshot } from '#modules/events';
import { once } from '#modules/idempotency';
import type { Authenticator, Credential } from './authenticate.ts';
import { parseSnapshot } from './realtime-offset.ts';
import type { Traffic } from './traffic.ts';

/** What the call contexts of all requests of a process share. */
export interface CallHost {
  plinth: Plinth<ModuleMap>;
  authenticator: Authenticator;
  adapters: Record<string, unknown>;
  /** See CallContext. */
  permissions: readonly string[];
  requestMs: number;
  /** Accesses of operators that were written down a moment ago. */
  noted: LRUCache<string, true>;
  /** Offset of /realtime for a snapshot: what is not in it is told from there on. */
  offsetOf: (snapshot: string) => Promise<string>;
}

/** Given after keys, members or roles were changed by the API: what was found about credentials is forgotten. */
export const ACCESS_SIGNAL = 'access.changed';
/** Given behind it: open connections of the tenant, or of all tenants, look at their credentials again. */
export const accessSignal = (tenantId: string | undefined): string => `${ACCESS_SIGNAL}:${tenantId ?? 'all'}`;

const NOTE_AGAIN_MS = 10 * 60_000;

export const createCallHost = (given: Omit<CallHost, 'noted'>): CallHost => ({
  ...given,
  noted: new LRUCache({ max: 10_000, ttl: NOTE_AGAIN_MS / 2 }),
});

export interface CallFacts {
  credential: Credential;
  traffic: Traffic;
  idempotencyKey: string | undefined;
  /** The answer is to say from where /realtime goes on (header Plinth-Offset). */
  wantsOffset?: boolean | undefined;
  signal: AbortSignal;
  /** Aborted when the caller hangs up. Asked for by those who wait, because servers make it when it is. */
  gone: () => AbortSignal;
}

/** Who calls, if they have the permission. Errors: kernel_unauthenticated, kernel_forbidden. */
export function principalWith({ credential }: Pick<CallFacts, 'credential'>, permission: string): Principal {
  const { principal } = credential;
  if (!principal) throw fail('unauthenticated');
  if (!allows(principal.scopes, permission)) throw lacking(permission);
  return principal;
}

/** Of two snapshots that transactions took which write nothing. With the same end, the earlier one has more transactions open. */
function earlier(one: string | undefined, other: string): string {
  if (one === undefined) return other;
  const [a, b] = [parseSnapshot(one), parseSnapshot(other)];
  return a.xmax < b.xmax || (a.xmax === b.xmax && a.xip.length >= b.xip.length) ? one : other;
}

/** The context of one call: opens its transaction in the name of the caller, with idempotency and the record of operator access around it. */
export function callContext(host: CallHost, facts: CallFacts): CallContext {
  return {
    principal: facts.credential.principal,
    correlationId: facts.traffic.correlationId,
    adapters: host.adapters,
    permissions: host.permissions,
    async run(call, body) {
      const { principal } = facts.credential;
      if (!principal) throw fail('unauthenticated');
      if (principal.operator && call.records) await noteAccess(host, facts, principal);
      let snapshot: string | undefined;
      const answer = await open(
        host,
        facts,
        principal,
        call,
      )(async (tx) => {
        // Before the data: what commits in between is in the data and told once more, and nothing is in neither.
        if (facts.wantsOffset && call.type === 'query') snapshot = await readSnapshot(tx);
        return doOnce(facts, principal, call, tx, body);
      });
      if (snapshot !== undefined) {
        // Calls of a batch share one answer: the offset of the first look leaves no gap behind any of them.
        const first = earlier(facts.traffic.snapshot, snapshot);
        facts.traffic.snapshot = first;
        const offset = await host.offsetOf(first);
        if (facts.traffic.snapshot === first) facts.traffic.offset = offset;
      }
      // What was cached about keys, members and links may just have changed.
      if (call.type === 'mutation' && (call.path.startsWith('system.access.') || call.path === 'system.webhooks.portal.revokeLinks')) {
        host.authenticator.forget();
        host.plinth.wake.signal([ACCESS_SIGNAL, accessSignal(isOutside(principal, call) ? undefined : principal.tenantId)]);
      }
      return answer;
    },
    wait: (waiting) => wait(host, facts, waiting),
  };
}

/** Longest time between two looks: what a lost hint, a message sent by SQL and a time-out that ran off may cost. */
const LOOK_AGAIN_MS = 1_000;

/**
 * Looks first often, then once a second, or when a hint comes; every look is a read-only transaction of its own. Errors: kernel_caller_gone, so that what comes
 * later is not given to nobody.
 */
async function wait(host: CallHost, facts: CallFacts, { signals, timeoutMs, ready }: Waiting): Promise<void> {
  const { principal } = facts.credential;
  if (!principal?.tenantId) return;
  const input = { ...inputOf(host, facts, principal, true), tenantId: principal.tenantId };
  const { clock } = host.plinth;
  const end = clock.now() + timeoutMs;
  const gone = facts.gone();
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, LOOK_AGAIN_MS)) {
    // Asked to be woken before it looks: a hint in between is not missed.
    const looked = new AbortController();
    const hinted = host.plinth.wake.next(signals, Math.max(0, Math.min(pauseMs, end - clock.now())), AbortSignal.any([looked.signal, facts.signal, gone]));
    if (clock.now() >= end || facts.signal.aborted || (await host.plinth.transaction(input, ready))) {
      looked.abort();
      return;
    }
    await hinted;
    if (gone.aborted) throw fail('caller_gone');
  }
}

const inputOf = (host: CallHost, facts: CallFacts, principal: Principal, readOnly: boolean): TransactionInput => ({
  actor: principal.actor,
  roles: principal.roles,
  correlationId: facts.traffic.correlationId,
  requestId: facts.traffic.requestId,
  reason: facts.credential.reason,
  ip: facts.traffic.ip,
  userAgent: facts.traffic.userAgent,
  timeoutMs: host.requestMs,
  signal: facts.signal,
  readOnly,
});

const isOutside = (principal: Principal, call: Call): boolean => principal.operator && (call.operator || !principal.tenantId);

/** In a tenant as plinth_app; an operator outside every tenant reads as plinth_reader and changes as plinth_worker. */
function open(host: CallHost, facts: CallFacts, principal: Principal, call: Call) {
  const input = { ...inputOf(host, facts, principal, call.type === 'query'), exactJson: call.exactJson };
  const outside = isOutside(principal, call);
  return <T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T> => {
    if (!outside) return host.plinth.transaction({ ...input, tenantId: principal.tenantId }, body);
    return call.type === 'query' ? host.plinth.asReader(input, body) : host.plinth.asWorker(input, body);
  };
}

const LONGEST_SCOPE = 300;

/** A key belongs to a procedure and a caller, so that nobody is given the answer of somebody else. */
function scopeOf(call: Call, { actor }: Principal): string {
  const scope = `${call.path} ${actor.type}:${actor.id}`;
  return scope.length <= LONGEST_SCOPE ? scope : `${call.path} ${createHash('sha256').update(scope).digest('hex')}`;
}

async function doOnce(
  facts: CallFacts,
  principal: Principal,
  call: Call,
  tx: AnyTransaction,
  body: (tx: AnyTransaction) => Promise<unknown>,
): Promise<unknown> {
  const key = facts.idempotencyKey;
  if (key === undefined || call.type !== 'mutation') return body(tx);
  const { replayed, answer } = await once(
    tx,
    { scope: scopeOf(call, principal), key, request: call.input, storable: (told) => withoutSecrets(told, call.secretFields) },
    () => body(tx),
  );
  if (replayed) facts.traffic.replayed = true;
  return answer;
}

const withoutSecrets = (answer: unknown, secretFields: readonly string[]): unknown =>
  secretFields.length > 0 && answer !== null && typeof answer === 'object'
    ? { ...answer, ...Object.fromEntries(secretFields.map((field) => [field, null])) }
    : answer;

/**
 * Writes down, before anything is shown, that an operator enters a tenant; committed on its own, so that a call that fails leaves it.
 * Errors: kernel_reason_required.
 */
export async function noteAccess(host: CallHost, facts: CallFacts, principal: Principal): Promise<void> {
  const { reason } = facts.credential;
  if (!reason) throw fail('reason_required');
  const mark = JSON.stringify([principal.tenantId, principal.actor.id, reason]);
  if (host.noted.has(mark)) return;
  const input = inputOf(host, facts, principal, false);
  const { tenantId } = principal;
  if (tenantId) {
    await host.plinth.transaction({ ...input, tenantId }, async (tx) => {
      if (!(await noteOperatorAccess(tx, tenantId, principal.actor.id, reason))) return;
      (tx as unknown as AccessTransaction).audit.record({ action: 'operator.accessed', entityType: 'tenant', entityId: tenantId, severity: 'warning', reason });
    });
  } else {
    await host.plinth.asWorker(input, (tx) => noteOperatorAccess(tx, NO_TENANT, principal.actor.id, reason));
  }
  host.noted.set(mark, true);
}
