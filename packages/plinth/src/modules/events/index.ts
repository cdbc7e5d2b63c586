export { TYPES_SIGNAL } from './check.ts';
export type { EventsTransaction, PublishOptions, Stream } from './publish.ts';
export { firstId, isEventType } from './publish.ts';
