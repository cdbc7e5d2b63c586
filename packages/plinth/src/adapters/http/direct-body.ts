import type { Socket } from 'node:net';

/**
 * A body that, where the server is ours, is written to the connection itself: for streams to thousands of readers a web stream between would
 * cost more than all the rest. Elsewhere the response's own body, a ReadableStream, tells the same.
 */
export interface DirectBody {
  /** The head was sent; everything written from now on is the body, which ends with the connection. */
  write(socket: Socket): void;
  /** The reader went before. */
  cancel(): void;
}

const bodies = new WeakMap<Response, DirectBody>();

export function withDirectBody(response: Response, body: DirectBody): Response {
  bodies.set(response, body);
  return response;
}

export const directBodyOf = (response: Response): DirectBody | undefined => bodies.get(response);
