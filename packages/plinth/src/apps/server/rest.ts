import type { AnyRouter } from '@trpc/server';
import { TRPCError } from '@trpc/server';
import { fail } from '#kernel/errors.ts';
import type { CallContext, CallMeta } from '#kernel/rpc.ts';
import { rpcFailure } from '#kernel/rpc.ts';
import { checkText } from './body.ts';
import { readQuery } from './query.ts';

/** A procedure as REST reaches it. */
export interface RestRoute {
  method: string;
  /** `/jobs/{id}` */
  template: string;
  segments: readonly string[];
  /** `system.jobs.get` */
  path: string;
  /** zod schema of the input, when there is one. */
  input: unknown;
}

interface ProcedureFacts {
  _def: { meta?: CallMeta; inputs: unknown[]; type: string };
}

const isParameter = (segment: string): boolean => segment.startsWith('{');

/**
 * Every procedure that has an address, literal segments before parameters, so that /jobs/schedules is not taken for a job's id. Errors: when two have
 * the same address, of which one would never be called.
 */
export function restRoutes(router: AnyRouter): RestRoute[] {
  const procedures = Object.entries(router._def.procedures as Record<string, ProcedureFacts>);
  const routes = procedures
    .flatMap(([path, { _def }]): RestRoute[] => {
      const { openapi } = _def.meta ?? {};
      if (!openapi) return [];
      return [{ method: openapi.method, template: openapi.path, segments: openapi.path.split('/').slice(1), path, input: _def.inputs[0] }];
    })
    .sort((a, b) => rank(a).localeCompare(rank(b)));
  for (const same of Map.groupBy(routes, shape).values())
    if (same.length > 1) throw new Error(`${same.map(({ path }) => path).join(' and ')} have the same address: ${same[0]?.method} ${same[0]?.template}`);
  return routes;
}

/** Names of parameters do not tell addresses apart. */
const shape = ({ method, segments }: RestRoute): string => `${method} ${segments.map((segment) => (isParameter(segment) ? '{}' : segment)).join('/')}`;

const rank = (route: RestRoute): string => route.segments.map((segment) => (isParameter(segment) ? '1' : '0')).join('');

export interface RestMatch {
  route: RestRoute;
  parameters: Record<string, string>;
}

/** The route for a path under /api/v1. Errors: kernel_unknown_route, kernel_method_not_allowed, kernel_invalid_input (percent encoding). */
export function matchRoute(routes: readonly RestRoute[], method: string, path: string): RestMatch {
  const segments = path.split('/').slice(1);
  const fitting = routes.filter((route) => fits(route, segments));
  if (fitting.length === 0) throw fail('unknown_route', { message: `There is no address /api/v1${path.slice(0, 200)}` });
  const route = fitting.find((one) => one.method === method);
  if (!route) {
    const allow = [...new Set(fitting.map((one) => one.method))].sort().join(', ');
    throw fail('method_not_allowed', { message: `This address does not take ${method.slice(0, 20)}`, detail: { allow } });
  }
  const parameters: Record<string, string> = {};
  route.segments.forEach((segment, index) => {
    if (isParameter(segment)) parameters[segment.slice(1, -1)] = decoded(segments[index] ?? '');
  });
  return { route, parameters };
}

const fits = (route: RestRoute, segments: readonly string[]): boolean =>
  route.segments.length === segments.length &&
  route.segments.every((segment, index) => (isParameter(segment) ? segments[index] !== '' : segment === segments[index]));

function decoded(segment: string): string {
  try {
    const text = decodeURIComponent(segment);
    checkText(text);
    return text;
  } catch (error) {
    if (error instanceof URIError) throw fail('invalid_input', { message: 'The address is not valid percent encoding' });
    throw error;
  }
}

type Caller = (input: unknown) => Promise<unknown>;

/** Calls the procedure of a route through tRPC, so that REST and tRPC cannot differ. Errors: PlinthError. */
export async function callRoute(router: AnyRouter, match: RestMatch, context: CallContext, query: URLSearchParams, body: unknown): Promise<unknown> {
  const { route, parameters } = match;
  const bodied = route.method !== 'GET' && route.method !== 'DELETE';
  if (bodied && body !== undefined && (body === null || typeof body !== 'object' || Array.isArray(body)))
    throw fail('invalid_input', { message: 'The body is not a JSON object' });
  const given = bodied ? (body as Record<string, unknown> | undefined) : readQuery(query, route.input);
  const input = route.input === undefined ? undefined : { ...given, ...parameters };
  const caller = router.createCaller(context) as unknown as Record<string, unknown>;
  const procedure = route.path.split('.').reduce<unknown>((inner, part) => (inner as Record<string, unknown>)[part], caller) as Caller;
  try {
    return await procedure(input);
  } catch (error) {
    throw error instanceof TRPCError ? rpcFailure(error) : error;
  }
}
