export { errors as idempotencyErrors } from './errors.ts';
export type { IdempotentCall } from './idempotent.ts';
export { once, requestHash } from './idempotent.ts';
