import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  stream_not_found: {
    status: 404,
    title: 'There is no such stream',
    wayOut: 'Create it with PUT, or check the path and the tenant; one that has expired is gone.',
  },
  stream_gone: { status: 410, title: 'The stream was deleted and only its forks still read from it', wayOut: 'Use another path.' },
  stream_exists: { status: 409, title: 'The stream exists with other settings', wayOut: 'Use another path, or the settings that it was created with.' },
  path_held: { status: 409, title: 'The path belonged to a stream that forks still read from', wayOut: 'Use another path, or delete the forks.' },
  source_gone: { status: 409, title: 'The stream to fork was deleted', wayOut: 'Fork a stream that was not deleted.' },
  fork_invalid: { status: 400, title: 'A stream cannot be forked there', wayOut: 'Fork at an offset that the source has told.' },
  content_type_mismatch: { status: 409, title: 'The stream holds another content type', wayOut: 'Append what the stream was created for.' },
  stream_closed: { status: 409, title: 'The stream is closed', wayOut: 'Nothing can be appended any more; create another one.' },
  sequence_conflict: { status: 409, title: 'Another writer is ahead', wayOut: 'Read on and append with a higher Stream-Seq.' },
  producer_stale: { status: 403, title: 'Another instance of the producer took over', wayOut: 'Stop, or begin a higher epoch with sequence number 0.' },
  epoch_begins_at_zero: { status: 400, title: 'A new epoch of a producer begins with sequence number 0', wayOut: 'Send Producer-Seq: 0.' },
  producer_gap: { status: 409, title: 'Appends of the producer are missing', wayOut: 'Send the append that is expected first.' },
  offset_gone: {
    status: 410,
    title: 'The stream does not reach as far as the offset',
    wayOut: 'It was made anew, or restored to an earlier time: read it again from an offset before that, or from -1.',
  },
  body_empty: { status: 400, title: 'There is nothing to append', wayOut: 'Send a body, or Stream-Closed: true to close the stream.' },
  json_invalid: { status: 400, title: 'The body is not JSON that can be appended', wayOut: 'Send a JSON value, or an array with the values to append.' },
  request_invalid: { status: 400, title: 'A header or parameter of the stream is not valid', wayOut: 'Correct the one that is named.' },
} as const satisfies ErrorCatalogue;
