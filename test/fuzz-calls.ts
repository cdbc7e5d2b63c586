/** Every procedure of the router, and how to call one over REST and over tRPC. */
import type { z } from 'zod';
import { createRouter } from '../packages/plinth/src/apps/server/router.ts';
import type { Answer, TestServer } from '../packages/plinth/src/apps/server/server.fixture.ts';
import type { ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { createRecords } from '../packages/plinth/src/kernel/records.ts';

export interface Procedure {
  path: string;
  type: string;
  method: string;
  template: string;
  /** Of the team that runs Plinth alone. */
  operator: boolean;
  input: z.core.$ZodType | undefined;
}

interface Definition {
  type: string;
  inputs: z.core.$ZodType[];
  meta: { operator: boolean; openapi: { method: string; path: string } };
}

export const proceduresOf = (modules: ModuleMap): Procedure[] =>
  Object.entries(createRouter(modules, createRecords(modules), {})._def.procedures as unknown as Record<string, { _def: Definition }>).map(
    ([path, { _def }]) => ({
      path,
      type: _def.type,
      method: _def.meta.openapi.method,
      template: _def.meta.openapi.path,
      operator: _def.meta.operator,
      input: _def.inputs[0],
    }),
  );

export type Input = Record<string, unknown>;
export type Call = (server: TestServer, key: string, procedure: Procedure, input: Input, headers?: Record<string, string>) => Promise<Answer>;

/** Whether it takes its input as a body. */
export const isBodied = ({ method }: Procedure): boolean => method !== 'GET' && method !== 'DELETE';

export const callRest: Call = (server, key, procedure, input, headers = {}) => {
  const rest = { ...input };
  const path = procedure.template.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
    const value = String(rest[name]);
    delete rest[name];
    return encodeURIComponent(value);
  });
  const bodied = isBodied(procedure);
  const query = new URLSearchParams(Object.entries(rest).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, String(value)]])));
  return server.call(`/api/v1${path}${bodied || query.size === 0 ? '' : `?${query}`}`, {
    method: procedure.method,
    key,
    headers,
    ...(bodied ? { body: rest } : {}),
  });
};

export const callRpc: Call = (server, key, { path, type }, input, headers = {}) => {
  const query = type === 'query' ? `?input=${encodeURIComponent(JSON.stringify(input))}` : '';
  return server.call(`/api/trpc/${path}${query}`, { key, headers, ...(type === 'query' ? {} : { method: 'POST', body: input }) });
};
