import type { KeyRing } from '#kernel/keys.ts';
import { createLog } from '#kernel/log.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';
import type { Handler, ServerOptions } from './index.ts';
import { createHandler, createServices, ensureAdminKey } from './index.ts';

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body as JSON; undefined when it is none. */
  body: unknown;
}

export interface CallOptions {
  method?: string;
  key?: string | undefined;
  headers?: Record<string, string>;
  /** Sent as JSON, or as it is when it is text. */
  body?: unknown;
}

export interface TestServer {
  database: TestDatabase;
  handler: Handler;
  /** Lines that the server logged. */
  logged: string[];
  /** Operator key with every permission. */
  operator: string;
  /** Keys of tenants A and B with every permission. */
  keyA: string;
  keyB: string;
  call(path: string, options?: CallOptions): Promise<Answer>;
  /** Makes a key of a tenant with these scopes. */
  makeKey(tenantId: string, scopes: readonly string[]): Promise<{ id: string; secret: string }>;
  close(): Promise<void>;
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A handler on a database of its own, with an operator and a key in each of two tenants. */
export async function testServer(
  name: string,
  { keys, adapters = {}, ...options }: Partial<Omit<ServerOptions, 'plinth' | 'services'>> & { keys?: KeyRing; adapters?: Record<string, unknown> } = {},
): Promise<TestServer> {
  const database = await testDatabase(name);
  const logged: string[] = [];
  const services = { ...createServices({ adapters }), log: createLog({ level: 'info', destination: { write: (line: string) => void logged.push(line) } }) };
  const keyed = keys && createPlinth({ database: { url: database.serverUrl }, keys });
  const handler = createHandler({ plinth: keyed ?? database.plinth, services, ...options });
  const operator = (await ensureAdminKey(database.plinth)).secret ?? '';
  const call: TestServer['call'] = async (path, { method = 'GET', key, headers = {}, body } = {}) => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const response = await handler(
      new Request(`http://plinth.test${path}`, {
        method,
        headers: { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(text === undefined ? {} : { body: text }),
      }),
      { ip: '192.0.2.1' },
    );
    const answered = await response.text();
    return { status: response.status, headers: response.headers, text: answered, body: parsed(answered) };
  };
  const makeKey: TestServer['makeKey'] = async (tenantId, scopes) => {
    const made = await call('/api/v1/keys', {
      method: 'POST',
      key: operator,
      headers: { 'x-plinth-tenant': tenantId, 'x-plinth-reason': 'set-up of a test' },
      body: { name: 'test', scopes },
    });
    if (made.status !== 200) throw new Error(`no key could be made: ${made.text}`);
    return made.body as { id: string; secret: string };
  };
  const [a, b] = [await makeKey(database.tenantA, ['*']), await makeKey(database.tenantB, ['*'])];
  return {
    database,
    handler,
    logged,
    operator,
    keyA: a.secret,
    keyB: b.secret,
    call,
    makeKey,
    async close() {
      await handler.settle();
      await keyed?.close();
      await database.drop();
    },
  };
}
