/** Sorts what a module keeps in a trace row's `data` by names that mean the same in every module. */
import { parseJson } from '../../../../packages/plinth/src/react/portal/json.ts';

/** One side of a call over the network. */
export interface Exchange {
  line: string | undefined;
  headers: unknown;
  /** Text, or the value when the text is JSON. */
  body: unknown;
}

export interface Sorted {
  reason: string | undefined;
  error: unknown;
  before: unknown;
  after: unknown;
  request: Exchange | undefined;
  response: Exchange | undefined;
  /** Everything that has no place of its own. */
  rest: Record<string, unknown>;
}

const bodyOf = (value: unknown): unknown => {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return parseJson(value);
  } catch {
    return value;
  }
};

const hasSome = (exchange: Exchange): Exchange | undefined =>
  exchange.headers === undefined && exchange.body === undefined && exchange.line === undefined ? undefined : exchange;

/** `data` without its nulls, in parts: `request_*` and `response_*` (or `request` and `response`), before and after, error, reason. */
export function exchangeOf(data: Record<string, unknown>): Sorted {
  const left = new Map(Object.entries(data).filter(([, value]) => value !== null && value !== undefined && value !== ''));
  const take = (...names: readonly string[]): unknown => {
    for (const name of names) {
      const value = left.get(name);
      if (value === undefined) continue;
      left.delete(name);
      return value;
    }
    return undefined;
  };
  const reason = take('reason');
  const error = take('error', 'error_message', 'last_error');
  const [before, after] = [take('before'), take('after')];
  const sent = { headers: take('request_headers'), body: bodyOf(take('request_body', 'request')) };
  const got = { headers: take('response_headers'), body: bodyOf(take('response_body', 'response')) };
  const isCall = sent.headers !== undefined || sent.body !== undefined || left.has('response_code');
  const url = isCall ? take('url') : undefined;
  const code = isCall ? take('response_code', 'response_status') : undefined;
  return {
    reason: typeof reason === 'string' ? reason : undefined,
    error,
    before,
    after,
    request: hasSome({ line: url === undefined ? undefined : `POST ${url}`, ...sent }),
    response: hasSome({ line: code === undefined ? undefined : `Status ${code}`, ...got }),
    rest: Object.fromEntries(left),
  };
}
