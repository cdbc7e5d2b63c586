import type { ErrorCatalogue } from '#kernel/errors.ts';
import { raiser } from '#kernel/errors.ts';

export const errors = {
  message_invalid: { status: 422, title: 'The message is not valid', wayOut: 'Correct the argument that is named.' },
  payload_too_large: {
    status: 413,
    title: 'The payload of a message is larger than its queue allows',
    wayOut: 'Store the data in a table or a file and send its id, or raise max_payload_bytes of the queue (at most 1 MiB).',
  },
  receive_invalid: {
    status: 422,
    title: 'Messages cannot be received or hidden like this',
    wayOut: 'Take 1 to 1,000 messages and hide them for 1 ms to 12 hours.',
  },
  receipt_invalid: { status: 422, title: 'This is not a receipt', wayOut: 'Pass the receipt that receive_messages returned, as it is.' },
  receipt_lost: {
    status: 409,
    title: 'The receipt does not hold its message any more',
    wayOut: 'Stop and roll back: the message was received by another, acknowledged or given back. Receive again, with a longer visibility or extend_message.',
  },
  receipt_not_found: {
    status: 404,
    title: 'The receipt is of another queue',
    wayOut: 'Show the receipt to the queue that its message was received from.',
  },
  dead_letter_not_found: {
    status: 404,
    title: 'There is no such dead letter',
    wayOut: 'Check the id and the tenant; GET /api/v1/lists/queue/dead shows them for 14 days.',
  },
  settings_invalid: { status: 422, title: 'The settings of the queue are not valid', wayOut: 'Correct the setting that is named.' },
} as const satisfies ErrorCatalogue;

export const fail = raiser('queue', errors);
