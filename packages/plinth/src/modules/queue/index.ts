export type { MessageDepth } from './depths.ts';
export { messageDepths } from './depths.ts';
export type { ReceivedMessage, ReleaseOptions } from './receive.ts';
export { acknowledge, acknowledgeMany, extend, receive, release } from './receive.ts';
export type { Payload, QueueTransaction, SendOptions } from './send.ts';
export { MOST_PAYLOAD_BYTES, queueSignal } from './send.ts';
