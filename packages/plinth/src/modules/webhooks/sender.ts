/** What this module needs of the way out: the egress guard is one. Given to the worker as the adapter `egress`. */
export interface HttpSender {
  send(request: HttpRequest): Promise<HttpAnswer>;
}

export interface HttpRequest {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  timeoutMs: number;
  maxBodyBytes: number;
  onLargeBody: 'truncate';
  idempotent: boolean;
  signal: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  location: string | undefined;
  body: Uint8Array;
  timings: HttpTimings;
}

/** Milliseconds by phase. */
export interface HttpTimings {
  dns: number;
  connect: number;
  tls: number;
  wait: number;
  total: number;
}

/** The sender among the adapters of the worker. Throws where the application gave none: deliveries would pile up unseen. */
export function senderOf(adapters: Record<string, unknown>): HttpSender {
  const found = adapters.egress as Partial<HttpSender> | undefined;
  if (typeof found?.send !== 'function') throw new Error('webhooks need the adapter egress: give createEgress(...) to the worker');
  return found as HttpSender;
}
