import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  key_invalid: { status: 400, title: 'The idempotency key is not valid', wayOut: 'Send 1 to 255 visible ASCII characters; a UUID is best.' },
  key_reused: { status: 422, title: 'The idempotency key was used for another call', wayOut: 'Use a new key for every different call.' },
  in_progress: { status: 409, title: 'A call with this idempotency key is still running', wayOut: 'Wait a moment and send the same call again.' },
  not_begun: { status: 404, title: 'The idempotency key was not begun', wayOut: 'Call begin_idempotent with the same scope and key first.' },
  batch_refused: {
    status: 400,
    title: 'An idempotency key names one call, and this is a batch of several',
    wayOut: 'Send the calls one by one, each with its own key.',
  },
} as const satisfies ErrorCatalogue;
