import { AsyncLocalStorage } from 'node:async_hooks';
import { ROOT_CONTEXT, context as spans } from '@opentelemetry/api';
import { literal } from './database.ts';
import { fail } from './errors.ts';
import type { IdSource } from './ids.ts';
import { isUuid } from './ids.ts';

const ACTOR_TYPES = ['user', 'service', 'system', 'operator', 'api_key', 'portal'] as const;

/** Who acts. `operator` is a person of the team that runs Plinth; `api_key` a key whose id is the actor; `portal` a link given to a customer, by its id. */
export interface Actor {
  type: (typeof ACTOR_TYPES)[number];
  /** 1 to 1000 characters. */
  id: string;
}

/** What a transaction is told about its caller; every part becomes a `plinth.*` setting that SQL reads. */
export interface ContextInput {
  /** UUID of the tenant. Without one, row-level security shows no tenant's rows. */
  tenantId?: string | undefined;
  /** Default: `{ type: 'system', id: 'plinth' }`. */
  actor?: Actor | undefined;
  roles?: readonly string[] | undefined;
  /** UUID. Default: that of the surrounding context, else a new one. */
  correlationId?: string | undefined;
  /** Id of the record that caused this work. */
  causationId?: string | undefined;
  requestId?: string | undefined;
  /** Why an operator looks or acts. */
  reason?: string | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
}

export interface Context extends ContextInput {
  actor: Actor;
  correlationId: string;
}

const storage = new AsyncLocalStorage<Context>();

/** The context of the transaction or request that this code runs in, if any. */
export const currentContext = (): Context | undefined => storage.getStore();

export const runInContext = <T>(context: Context, body: () => T): T => storage.run(context, body);

/**
 * Runs what outlives its caller (loops, listeners) outside of the caller's context and span: whatever it did would be told as part of the request that happened to start it, for as long
 * as the process lives.
 */
export const runDetached = <T>(body: () => T): T => storage.exit(() => spans.with(ROOT_CONTEXT, body));

const SYSTEM: Actor = { type: 'system', id: 'plinth' };
const LONGEST = 1000;

const clean = (name: string, value: string): string => {
  if (value.includes('\0')) throw fail('context_invalid', { message: `${name} holds a NUL byte` });
  if (value.length > LONGEST) throw fail('context_invalid', { message: `${name} is longer than ${LONGEST} characters` });
  return value;
};

const uuid = (name: string, value: string): string => {
  if (!isUuid(value)) throw fail('context_invalid', { message: `${name} is not a UUID: ${JSON.stringify(value.slice(0, 60))}` });
  return value.toLowerCase();
};

/** An actor without an id would be recorded as the login role of the connection. */
function checkedActor({ type, id }: Actor): Actor {
  if (!ACTOR_TYPES.includes(type))
    throw fail('context_invalid', { message: `actor.type is not one of ${ACTOR_TYPES.join(', ')}: ${JSON.stringify(String(type).slice(0, 60))}` });
  if (typeof id !== 'string' || id === '') throw fail('context_invalid', { message: 'actor.id is not a text of 1 character or more' });
  return { type, id: clean('actor.id', id) };
}

/** Completes and checks a context. Errors: `kernel_context_invalid`. */
export function makeContext(input: ContextInput, newId: IdSource): Context {
  const outer = currentContext();
  return {
    ...input,
    ...(input.tenantId === undefined ? {} : { tenantId: uuid('tenantId', input.tenantId) }),
    actor: input.actor ? checkedActor(input.actor) : (outer?.actor ?? SYSTEM),
    ...(input.causationId === undefined ? {} : { causationId: uuid('causationId', input.causationId) }),
    correlationId: uuid('correlationId', input.correlationId ?? outer?.correlationId ?? newId()),
  };
}

type Settings = [name: string, value: string][];

/** What row security compares with. */
export const TENANT_SETTING = 'plinth.tenant_id';

/**
 * The context as settings of the transaction, each checked, in one order. What is not given is left out, but for the tenant: a tenant that somebody set for
 * the session must not be seen. (Clearing the six others as well took 10 to 20 us of each transaction: a reason or an address that somebody sets for the
 * session of a pooled connection reaches those after it.) `every` sends all of them, for a transaction that may hold another context already.
 */
export function contextSettings(context: Context, every = false): Settings {
  const settings: Settings = [];
  const set = (name: string, value = '', always = every): void => {
    if (value || always) settings.push([`plinth.${name}`, clean(name, value)]);
  };
  set('tenant_id', context.tenantId, true);
  set('actor_type', context.actor.type);
  set('actor_id', context.actor.id);
  set('correlation_id', context.correlationId);
  set('causation_id', context.causationId);
  set('request_id', context.requestId);
  set('roles', context.roles?.join(','));
  set('reason', context.reason);
  set('ip', context.ip);
  set('user_agent', context.userAgent);
  return settings;
}

/**
 * The context as SET LOCAL statements. Statements rather than set_config(): Citus propagates only those
 * to its workers, and they travel with BEGIN in one message.
 */
export const contextStatements = (settings: readonly [name: string, value: string][]): string[] =>
  settings.map(([name, value]) => `set local ${name} = ${literal(value)}`);

const NAMES = contextSettings({ actor: SYSTEM, correlationId: '' }, true).map(([name]) => name);

/** Answers with the statements that bring the settings of now back; one that was never set comes back empty, which is the same to all who read it. */
export const SURROUNDING_STATEMENTS = `select pg_catalog.string_agg(pg_catalog.format('set local %s = %L', name, coalesce(pg_catalog.current_setting(name, true), '')), ';')
  as statements from pg_catalog.unnest('{${NAMES.join()}}'::text[]) as name`;

/** Statements as one, because most ORMs send prepared statements, which hold one command each. */
export const oneStatement = (statements: string): string => `do ${literal(`begin ${statements}; end`)}`;
