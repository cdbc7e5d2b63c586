import { fail } from './errors.ts';

/** Refuses at once what the egress policy of this installation will refuse anyway; names are judged when they are resolved. Errors: webhooks_url_refused. */
export function checkUrl(adapters: Record<string, unknown>, text: string): void {
  const egress = adapters.egress as { check?: (url: string) => { allowed: boolean } } | undefined;
  if (egress?.check?.(text).allowed === false) throw fail('url_refused');
}
