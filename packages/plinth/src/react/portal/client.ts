/** Calls of the portal's API, and the shapes of its answers. */
import { parseJson } from './json.ts';
import { withRepeatKey } from './repeat-key.ts';

export type SigningWay = 'v1' | 'v1a' | 'both' | 'stripe' | 'github' | 'slack';

export interface Session {
  id: string;
  tenant_id: string;
  capabilities: 'read' | 'manage';
  expires_at: string;
  return_url: string | null;
  locale: string | null;
  theme: 'system' | 'light' | 'dark';
}

export interface Endpoint {
  id: string;
  name: string;
  /** Null: nothing is sent, the customer reads. */
  url: string | null;
  patterns: readonly string[];
  enabled: boolean;
  description: string | null;
  failure_count: number;
  failing_since: string | null;
  /** When it is disabled at the earliest if it goes on failing. */
  disabled_not_before: string | null;
  disabled_at: string | null;
  disabled_reason: string | null;
  created_at: string;
  signing: SigningWay;
  public_keys: readonly string[];
  breaker: 'closed' | 'open' | 'half_open';
  /** Nothing is sent before. */
  paused_until: string | null;
  /** Gets public types only. */
  public_only: boolean;
  /** Counted to 1,001. */
  waiting: number;
  /** How many of them are not sent when it becomes public_only. */
  waiting_internal: number;
  /** Of what waits; null when nothing will be sent. */
  next_attempt_at: string | null;
}

/** What a change made of an endpoint. */
export interface ChangedEndpoint extends Endpoint {
  /** One that another way of signing needs, told once. */
  secret: string | null;
  /** Waiting deliveries that are not sent, because their types are not public. */
  withheld: number;
}

export interface EventType {
  name: string;
  version: number;
  description: string | null;
  schema: unknown;
  example: unknown;
  deprecated_at: string | null;
  deprecation: string | null;
  successor: string | null;
}

export interface Attempt {
  id: string;
  delivery_id: string;
  subscription_id: string;
  event_id: string | null;
  event_type: string;
  attempt_number: number;
  status: 'delivered' | 'failed';
  attempted_at: string;
  url: string;
  response_code: number | null;
  response_time_ms: number | null;
  error_code: string | null;
  error_message: string | null;
}

/** An attempt with what was sent and answered. */
export interface Exchange extends Attempt {
  timings: Readonly<Record<string, number>> | null;
  request_headers: Readonly<Record<string, unknown>> | null;
  request_body: string | null;
  response_headers: Readonly<Record<string, unknown>> | null;
  response_body: string | null;
}

export interface Replay {
  id: string;
  status: 'running' | 'done' | 'failed' | 'cancelled';
  only_failed: boolean;
  since: string | null;
  until: string | null;
  /** Null: all that the endpoint gets. */
  patterns: readonly string[] | null;
  /** How many ids were named; null: none, a range. */
  asked_ids: number | null;
  rate_per_second: number | null;
  total: number;
  added: number;
  /** Not added: the filter keeps them back, or they were waiting anyway. */
  left_out: number;
  created_at: string;
  finished_at: string | null;
}

/** A failure with the sentence and the way out that the API gave. */
export class PortalProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly wayOut: string;
  /** Names of the fields of the input that it is about, as far as that is known. */
  readonly fields: readonly string[];

  constructor(told: { title: string; status: number; code: string; wayOut: string; fields?: readonly string[] }) {
    super(told.title);
    this.name = 'PortalProblem';
    this.status = told.status;
    this.code = told.code;
    this.wayOut = told.wayOut;
    this.fields = told.fields ?? [];
  }
}

const LONGEST_MS = 20_000;

/** Whatever was thrown, as a sentence with a way out. */
export function problemOf(error: unknown): PortalProblem {
  if (error instanceof PortalProblem) return error;
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new PortalProblem({ title: 'The server did not answer in 20 seconds', status: 0, code: 'timeout', wayOut: 'Try again.' });
  if (error instanceof TypeError)
    return new PortalProblem({ title: 'The server cannot be reached', status: 0, code: 'unreachable', wayOut: 'Check your connection, then try again.' });
  return new PortalProblem({ title: 'Something went wrong', status: 0, code: 'unknown', wayOut: 'Reload the page.' });
}

const FIELD_OF: Readonly<Record<string, string>> = {
  webhooks_name_taken: 'name',
  webhooks_url_invalid: 'url',
  webhooks_url_refused: 'url',
  webhooks_type_not_public: 'event_types',
  webhooks_pattern_invalid: 'patterns',
};

/** Of a list (`ids.0`) the field is meant that holds it. */
function fieldsIn({ code, issues }: Record<string, unknown>): string[] {
  const named = (Array.isArray(issues) ? issues : []).map((issue) => String((issue as { field?: unknown } | null)?.field ?? '').split('.')[0] ?? '');
  const of = typeof code === 'string' ? FIELD_OF[code] : undefined;
  return of === undefined ? named : [...named, of];
}

async function problemIn(response: Response): Promise<PortalProblem> {
  const told = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (value: unknown, otherwise: string): string => (typeof value === 'string' && value !== '' ? value : otherwise);
  return new PortalProblem({
    title: text(told.title, `The server answered ${response.status}`),
    status: response.status,
    code: text(told.code, 'unknown'),
    wayOut: text(told.way_out, 'Try again; if it persists, tell whoever sent you here.'),
    fields: fieldsIn(told),
  });
}

export interface PortalClient {
  /** Where the server is, without a slash at the end; empty for the page's own origin. */
  readonly baseUrl: string;
  /** Errors: PortalProblem, and what fetch throws; problemOf makes a sentence of either. */
  get<Answer>(path: string, signal?: AbortSignal): Promise<Answer>;
  send<Answer>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<Answer>;
}

/** A token, or what gives one: it is asked when the first call is made, and once more when the server refuses the one it gave, as it does when a link has expired. */
export type PortalToken = string | (() => string | Promise<string>);

interface ClientAccess {
  baseUrl: string;
  token?: PortalToken | undefined;
  session?: string | undefined;
  /** Another token was taken instead of one that was refused. */
  onRenewed?: (() => void) | undefined;
}

/** Gives the token of a call; `refused` is the one that the server did not take. Calls that are refused together ask once. */
function tokens(give: () => string | Promise<string>): (refused?: string) => Promise<string> {
  let asked: Promise<string> | undefined;
  return async (refused) => {
    const before = asked;
    if (refused !== undefined && (await before?.catch(() => refused)) === refused && asked === before) asked = undefined;
    if (!asked) {
      const asking = (async () => give())();
      asked = asking;
      // One that could not be got is asked for again by the next call.
      asking.catch(() => {
        if (asked === asking) asked = undefined;
      });
    }
    return asked;
  };
}

/** `token` as bearer; or `session`, the id of the link whose cookie the hosted page has. */
export function createPortalClient({ baseUrl, token, session, onRenewed }: ClientAccess): PortalClient {
  const base = baseUrl.replace(/\/+$/, '');
  const tokenOf = typeof token === 'function' ? tokens(token) : undefined;
  const callWith = (bearer: string | undefined, path: string, init: RequestInit): Promise<Response> => {
    const limit = AbortSignal.timeout(LONGEST_MS);
    const who: Record<string, string> = bearer ? { authorization: `Bearer ${bearer}` } : session ? { 'x-plinth-portal': session } : {};
    return fetch(`${base}/api/v1/webhooks/portal${path}`, {
      ...init,
      headers: { ...who, ...(init.headers as Record<string, string> | undefined) },
      credentials: bearer ? 'omit' : 'same-origin',
      signal: init.signal ? AbortSignal.any([init.signal, limit]) : limit,
    });
  };
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    if (!tokenOf) return callWith(typeof token === 'string' ? token : undefined, path, init);
    const bearer = await tokenOf();
    const response = await callWith(bearer, path, init);
    if (response.status !== 401) return response;
    const other = await tokenOf(bearer);
    // The same again: nothing else can be said about it.
    if (other === bearer) return response;
    const again = await callWith(other, path, init);
    if (again.status !== 401) onRenewed?.();
    return again;
  };
  const answered = async <Answer>(response: Response): Promise<Answer> => {
    if (!response.ok) throw await problemIn(response);
    return parseJson(await response.text()) as Answer;
  };
  // Of tokens that come and go the page has one holder.
  const who = typeof token === 'string' ? token : session;
  return {
    baseUrl: base,
    get: async (path, signal) => answered(await ask(path, signal ? { signal } : {})),
    async send(method, path, body) {
      const text = method === 'DELETE' ? null : JSON.stringify(body ?? {});
      const response = await withRepeatKey(JSON.stringify([base, who, method, path, text]), (key) =>
        ask(path, { method, headers: { 'content-type': 'application/json', 'idempotency-key': key }, body: text }),
      );
      return answered(response);
    },
  };
}
