export { errors as streamsErrors } from './errors.ts';
export type { AppendedStream, AppendStream, CreateStream, OpenStream, StreamMessage } from './streams.ts';
export { appendStream, createStream, deleteStream, openStream, readStreamMessages, streamSignal } from './streams.ts';
