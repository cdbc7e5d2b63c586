import { cleanText } from '#kernel/clean-text.ts';
import { PlinthError } from '#kernel/errors.ts';
import { requestOf } from './format.ts';
import type { Signing } from './profiles.ts';
import { signAs } from './profiles.ts';
import type { HttpAnswer, HttpSender, HttpTimings } from './sender.ts';

/** A delivery as plinth_webhooks.claim hands it out. */
export interface ClaimedDelivery {
  tenant_id: string;
  id: string;
  lease_id: string;
  subscription_id: string;
  lane_key: string | null;
  url: string;
  /** Secrets and private keys that sign now. */
  secrets: string[];
  signing: Signing;
  event_id: string | null;
  event_type: string;
  body: string;
  /** The body as it is stored, where personal fields in `body` were made readable: the answer may repeat them, and is not kept. */
  stored?: string;
  /** Of the body; null: standard. */
  format: string | null;
  /** Personal fields are to be sent in readable form. */
  reveal: boolean;
  /** Why the body could not be made readable. */
  unreadable?: unknown;
  attempt: number;
  correlation_id: string | null;
}

/** One row for plinth_webhooks.settle: how an attempt ended, and what the log shows of it. */
export interface Settlement {
  tenant_id: string;
  id: string;
  lease_id: string;
  subscription_id: string;
  lane_key: string | null;
  outcome: 'delivered' | 'failed' | 'gone' | 'returned';
  /** Trying again will not help. */
  permanent?: boolean;
  retry_after_ms?: number | undefined;
  /** How long ago the attempt began. */
  age_ms?: number;
  url?: string;
  response_code?: number | undefined;
  response_time_ms?: number;
  error_code?: string;
  error_message?: string;
  request_headers?: Record<string, string>;
  response_headers?: Record<string, string>;
  response_body?: string;
  timings?: HttpTimings | undefined;
}

export interface AttemptOptions {
  sender: HttpSender;
  clock: { now(): number };
  /** For the whole exchange. */
  timeoutMs: number;
  signal: AbortSignal;
  /** Hears what only the operator may read about a failure. */
  onFailure: (delivery: ClaimedDelivery, error: unknown) => void;
}

const LONGEST_ANSWER = 4096;
const LONGEST_HEADER = 500;
const MOST_HEADERS = 50;
/** Answers are read no further than what is kept: a webhook's answer carries nothing. */
const MAX_ANSWER_BYTES = 16_384;
const UTF8 = new TextDecoder();

const clean = (text: string, longest: number): string => cleanText(text.slice(0, longest));

const NOT_KEPT = '(not kept)';
const NO_BODY = '(not kept: the request had personal fields in readable form)';
/** Headers that speak of the answer and not of what was asked. */
const OWN_HEADERS: ReadonlySet<string> = new Set(['date', 'content-length', 'retry-after']);

const cleanHeaders = (headers: Record<string, string>, kept: (name: string) => boolean): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers)
      .slice(0, MOST_HEADERS)
      .map(([name, value]) => [clean(name, 200), kept(name) ? clean(value, LONGEST_HEADER) : NOT_KEPT]),
  );

/** What the log shows of an answer. An endpoint may send back what it was sent, and nothing that an erasure does not reach may hold personal fields. */
function loggedAnswer(answer: HttpAnswer, personal: boolean): Pick<Settlement, 'response_headers' | 'response_body'> {
  if (personal)
    return { response_headers: cleanHeaders(answer.headers, (name) => OWN_HEADERS.has(name)), response_body: answer.body.length > 0 ? NO_BODY : '' };
  return {
    response_headers: cleanHeaders(answer.headers, (name) => name !== 'set-cookie'),
    response_body: clean(UTF8.decode(answer.body), LONGEST_ANSWER),
  };
}

/** Milliseconds that `Retry-After` asks for, as seconds or as a date; undefined when it says nothing that can be read. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value.trim()) * 1000;
  // Date.parse reads a date into nearly anything; HTTP dates end in GMT.
  const at = value.endsWith(' GMT') ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

function judgeAnswer(answer: HttpAnswer, nowMs: number, personal: boolean): Pick<Settlement, 'outcome' | 'retry_after_ms' | 'error_code' | 'error_message'> {
  const { status, location } = answer;
  if (status >= 200 && status < 300) return { outcome: 'delivered' };
  const redirect = status >= 300 && status < 400 ? `; redirects are not followed${location && !personal ? ` (to ${clean(location, 200)})` : ''}` : '';
  return {
    outcome: status === 410 ? 'gone' : 'failed',
    retry_after_ms: retryAfterMs(answer.headers['retry-after'], nowMs),
    error_code: `http_${status}`,
    error_message: `The receiver answered ${status}${redirect}`,
  };
}

interface SendFailure {
  permanent?: boolean;
  timings?: HttpTimings;
  responseStatus?: number | undefined;
}

/** What the tenant may read about a call that came to nothing. */
function judgeFailure(error: unknown): Pick<Settlement, 'outcome' | 'permanent' | 'error_code' | 'error_message' | 'response_code' | 'timings'> {
  const known = error instanceof PlinthError ? error : undefined;
  const { permanent, timings, responseStatus } = (known ?? {}) as SendFailure;
  return {
    outcome: 'failed',
    permanent: permanent ?? false,
    error_code: known?.code ?? 'kernel_internal',
    error_message: known ? `${known.message}. ${known.wayOut}` : 'The attempt failed inside Plinth',
    response_code: responseStatus,
    timings,
  };
}

/** Makes one attempt and says how it ended. Never rejects; an attempt that `signal` stopped is `returned`. */
export async function attemptDelivery(delivery: ClaimedDelivery, options: AttemptOptions): Promise<Settlement> {
  const { tenant_id, id, lease_id, subscription_id, lane_key, url } = delivery;
  const key = { tenant_id, id, lease_id, subscription_id, lane_key };
  const startedAt = options.clock.now();
  const personal = delivery.stored !== undefined;
  let sent: Record<string, string> | undefined;
  const logged = (timings: HttpTimings | undefined): Partial<Settlement> => ({
    url,
    ...(sent ? { request_headers: sent } : {}),
    response_time_ms: Math.round(timings?.total ?? options.clock.now() - startedAt),
  });
  try {
    if (delivery.unreadable !== undefined) throw delivery.unreadable;
    const { headers, body } = requestOf(delivery);
    const signed = signAs(delivery.signing, delivery.secrets, { id, type: delivery.event_type, timestampSeconds: Math.floor(startedAt / 1000), body });
    sent = { ...headers, ...signed };
    const answer = await options.sender.send({
      url,
      method: 'POST',
      headers: { ...sent, 'user-agent': 'Plinth-Webhooks' },
      body,
      timeoutMs: options.timeoutMs,
      maxBodyBytes: MAX_ANSWER_BYTES,
      onLargeBody: 'truncate',
      idempotent: true,
      signal: options.signal,
    });
    return {
      ...key,
      ...logged(answer.timings),
      ...judgeAnswer(answer, options.clock.now(), personal),
      response_code: answer.status,
      ...loggedAnswer(answer, personal),
      timings: answer.timings,
    };
  } catch (error) {
    if (options.signal.aborted) return { ...key, outcome: 'returned' };
    options.onFailure(delivery, error);
    const failure = judgeFailure(error);
    return { ...key, ...logged(failure.timings), ...failure };
  }
}
