export type { DispatchOptions } from './dispatch.ts';
export { dispatcher } from './dispatch.ts';
export type { HttpAnswer, HttpRequest, HttpSender } from './sender.ts';
export type { Message, Verification, WebhookHeaders } from './sign.ts';
export { signMessage, verifyMessage } from './sign.ts';
