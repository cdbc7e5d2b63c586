export type { IdempotentCall } from './idempotent.ts';
export { once, requestHash } from './idempotent.ts';
