export type { Append, Appended, AppendOptions, NewEvent } from './append.ts';
export { appendNow, firstId, firstIds } from './append.ts';
export { TYPES_SIGNAL } from './check.ts';
export type { EventsTransaction } from './publish.ts';
export type { EventOptions, ExpectedVersion, PublishOptions, Stream } from './row.ts';
export { isEventType } from './row.ts';
