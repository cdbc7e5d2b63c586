import { initTRPC, TRPCError } from '@trpc/server';
import { middlewareMarker } from '@trpc/server/unstable-core-do-not-import';
import type { z } from 'zod';
import type { Actor } from './context.ts';
import { fail, PlinthError, toPlinthError, toProblem } from './errors.ts';
import { strictInput } from './strict-input.ts';
import type { AnyTransaction } from './transaction.ts';

/** Who called, as far as procedures need to know. */
export interface Principal {
  actor: Actor;
  tenantId: string | undefined;
  roles: readonly string[];
  /** Permissions by name (`audit.read`), by module (`audit.*`) or all (`*`). */
  scopes: readonly string[];
  /** True for keys of the team that runs Plinth: may name a tenant, or work on all. */
  operator: boolean;
}

/** What the app gives to every call. */
export interface CallContext {
  /** Undefined when no credential was given. */
  principal: Principal | undefined;
  correlationId: string;
  /**
   * Runs `body` in the transaction of this call and answers with its data: read only for queries; a mutation under an idempotency key
   * that was done before is not run again, and the stored data is the answer.
   */
  run(call: Call, body: (tx: AnyTransaction) => Promise<unknown>): Promise<unknown>;
  /** Waits until there is something to do for the call, or its time is over; holds no connection between two looks. Without it nobody waits. */
  wait?(waiting: Waiting): Promise<void>;
  /** Adapters of the process, by name. */
  adapters: Record<string, unknown>;
  /** Every permission that something in this process asks for; undefined: nobody knows. */
  permissions?: readonly string[] | undefined;
}

/** What a call waits for before its transaction is opened. */
export interface Waiting {
  /** Hints to be woken by (wake.ts). They may be lost, so `ready` is asked now and then as well. */
  signals: readonly string[];
  timeoutMs: number;
  /** Asked in a read-only transaction of its own. */
  ready(tx: AnyTransaction): Promise<boolean>;
}

/** What the app must know of a procedure to open its transaction. */
export interface Call {
  type: 'query' | 'mutation' | 'subscription';
  /** `system.access.users.create` */
  path: string;
  /** As it was sent, before validation. */
  input: unknown;
  /** Fields of the answer that are told once: an idempotent replay gives null for them. */
  secretFields: readonly string[];
  /** True for procedures of the team that runs Plinth, which stand outside every tenant. */
  operator: boolean;
  /** False when no tenant's records are shown or changed: an operator then needs no reason. */
  records: boolean;
  /** See RouteOptions. */
  exactJson: boolean;
}

/** What trpc-to-openapi reads of a procedure. In our own words, because its types bring along those of five servers that nobody need have installed. */
interface RestRoute {
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  path: `/${string}`;
  summary?: string;
  description?: string;
  protect?: boolean;
  tags?: string[];
}

export interface CallMeta extends Record<string, unknown> {
  openapi?: RestRoute;
  /** Undefined: any valid credential. */
  permission?: string | undefined;
  operator?: boolean;
  exactJson?: boolean;
}

const t = initTRPC
  .context<CallContext>()
  .meta<CallMeta>()
  .create({
    isDev: false,
    errorFormatter: ({ shape, error, ctx }) => {
      const known = rpcFailure(error);
      return {
        ...shape,
        message: known.message,
        data: { code: shape.data.code, httpStatus: known.status, path: shape.data.path, problem: toProblem(known, ctx?.correlationId) },
      };
    },
  });

/** A tRPC error carries a PlinthError as its cause, or is tRPC's own about the input. */
export function rpcFailure(error: TRPCError): PlinthError {
  if (error.cause instanceof PlinthError) return error.cause;
  if (error.code === 'BAD_REQUEST') return fail('invalid_input', { message: inputSentence(error), detail: { issues: issuesOf(error.cause) } });
  if (error.code === 'NOT_FOUND') return fail('not_found', { message: error.message });
  if (error.code === 'METHOD_NOT_SUPPORTED') return fail('method_not_allowed', { message: error.message });
  if (error.code === 'UNSUPPORTED_MEDIA_TYPE') return fail('unsupported_media_type');
  if (error.code === 'PAYLOAD_TOO_LARGE') return fail('body_too_large');
  if (error.code === 'PARSE_ERROR') return fail('malformed_body');
  return toPlinthError(error.cause ?? error);
}

interface Issue {
  path: readonly PropertyKey[];
  message: string;
}
const issuesOf = (cause: unknown): { field: string; message: string }[] => {
  const issues = (cause as { issues?: Issue[] } | undefined)?.issues ?? [];
  // To zod a UUID of any version and variant is a GUID.
  return issues.slice(0, 20).map((issue) => ({ field: issue.path.map(String).join('.'), message: issue.message.replace('GUID', 'UUID') }));
};
const inputSentence = (error: TRPCError): string => {
  const [first] = issuesOf(error.cause);
  if (!first) return 'The input is not valid';
  // What is wrong with the whole has no field to be named.
  return `The input is not valid: ${first.field === '' ? '' : `${first.field}: `}${first.message}`;
};

/** True when one of the scopes grants the permission. */
export const allows = (scopes: readonly string[], permission: string): boolean => scopes.some((scope) => matches(scope, permission));

/** kernel_forbidden for a credential without the permission. */
export const lacking = (permission: string): PlinthError =>
  fail('forbidden', { message: `The credential lacks the permission ${permission}`, detail: { permission } });

const matches = (scope: string, permission: string): boolean =>
  scope === '*' ||
  scope === permission ||
  (scope.endsWith('.*') && permission.startsWith(scope.slice(0, -1))) ||
  (scope.startsWith('*.') && permission.endsWith(scope.slice(1)));

const STATUS: Record<number, TRPCError['code']> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_SUPPORTED',
  409: 'CONFLICT',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  422: 'UNPROCESSABLE_CONTENT',
  429: 'TOO_MANY_REQUESTS',
  503: 'SERVICE_UNAVAILABLE',
  504: 'GATEWAY_TIMEOUT',
};

/** What a procedure may throw, as tRPC wants it: the PlinthError is the cause. */
export function toRpcError(error: unknown): TRPCError {
  if (error instanceof TRPCError && !(error.cause && !(error.cause instanceof PlinthError) && error.code === 'INTERNAL_SERVER_ERROR')) return error;
  const known = toPlinthError(error instanceof TRPCError ? error.cause : error);
  return new TRPCError({ code: STATUS[known.status] ?? 'INTERNAL_SERVER_ERROR', message: known.message, cause: known });
}

/** Checks the permission, then runs the procedure in one transaction, which any error rolls back. */
const guarded = (options: RouteOptions) =>
  t.procedure.use(async ({ ctx, type, path, getRawInput, next }) => {
    const { principal, adapters, permissions } = ctx;
    if (!principal) throw toRpcError(fail('unauthenticated'));
    refuse(principal, options);
    const call: Call = {
      type,
      path,
      input: await getRawInput(),
      secretFields: options.secretFields ?? [],
      operator: options.operator ?? false,
      records: options.records ?? !options.operator,
      exactJson: options.exactJson ?? false,
    };
    const inside = async (tx: AnyTransaction) => {
      const result = await next({ ctx: { tx, principal, adapters, permissions } });
      // tRPC returns errors instead of throwing them; the transaction must see one to roll back.
      if (!result.ok) throw result.error;
      return result;
    };
    try {
      const waiting = options.waitFor?.(call.input, principal.tenantId);
      if (waiting) await ctx.wait?.(waiting);
      let result: Awaited<ReturnType<typeof inside>> | undefined;
      const data = await ctx.run(call, async (tx) => {
        result = await inside(tx);
        return result.data;
      });
      // A replayed answer never went through the procedure: it takes the form that tRPC's own results have.
      return result ?? { ok: true, data, marker: middlewareMarker };
    } catch (error) {
      throw toRpcError(error);
    }
  });

/** Refuses what the credential does not allow. Errors: kernel_forbidden, kernel_operator_required, kernel_tenant_required. */
function refuse(principal: Principal, options: RouteOptions): void {
  if (options.operator && !principal.operator) throw toRpcError(fail('operator_required'));
  if (options.permission && !allows(principal.scopes, options.permission)) throw toRpcError(lacking(options.permission));
  if ((options.tenant ?? !options.operator) && !principal.tenantId) throw toRpcError(fail('tenant_required'));
}

interface RouteOptions {
  /** `GET /audit/entries/{id}`: method and path under /api/v1. */
  rest: `${'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'} /${string}`;
  summary: string;
  description?: string;
  /** Undefined: any valid credential; the procedure looks at ctx.principal itself. */
  permission: string | undefined;
  /** True when the call needs a tenant. Default: true, but false for operator procedures. */
  tenant?: boolean;
  /** Only for operator keys, and touching no tenant's records. Default false. */
  operator?: boolean;
  /** False when no tenant's records are shown or changed. Default: true, but false for operator procedures. */
  records?: boolean;
  /** Fields of the answer that are told once: an idempotent replay gives null for them. */
  secretFields?: readonly string[];
  /**
   * Numbers in json and jsonb that JavaScript would round come from ctx.tx as raw JSON and go out digit by digit. For procedures that show stored JSON
   * as it is: raw JSON cannot be reckoned with. Default false. In what a body sent they are raw JSON everywhere.
   */
  exactJson?: boolean;
  /** Long polling: what the call waits for. Gets the input as it was sent; undefined means not at all. */
  waitFor?: (input: unknown, tenantId: string | undefined) => Waiting | undefined;
}

/**
 * A procedure of a module's api: `procedure({ rest: 'GET /audit/entries', permission: 'audit.read', summary })` and then
 * `.input(zod).output(zod).query(({ ctx, input }) => ...)`. `ctx.tx` is the transaction of the call. REST and OpenAPI come from the same lines. The
 * input takes no field that its schema does not name.
 */
export const procedure = (options: RouteOptions) => {
  const [method, path] = options.rest.split(' ') as ['GET', `/${string}`];
  const made = guarded(options).meta({
    permission: options.permission,
    operator: options.operator ?? false,
    exactJson: options.exactJson ?? false,
    openapi: {
      method,
      path,
      summary: options.summary,
      ...(options.description ? { description: options.description } : {}),
      tags: [path.split('/')[1] ?? 'system'],
      protect: true,
    },
  });
  const { input } = made;
  return Object.assign(made, { input: ((schema: z.core.$ZodType) => input(strictInput(schema))) as typeof input });
};

export const router = t.router;
export const createCaller = t.createCallerFactory;
