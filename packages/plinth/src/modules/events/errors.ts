import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  event_invalid: {
    status: 422,
    title: 'The event is not valid',
    wayOut: 'Give a type of words joined by dots (order.created), a JSON object of at most 1 MiB, and a stream by type and id or not at all.',
  },
  cloud_event_invalid: {
    status: 422,
    title: 'The CloudEvent is not valid, or cannot be kept',
    wayOut: 'Send CloudEvents 1.0 with specversion, id, source and type, data that are a JSON object, and a type of words joined by dots.',
  },
  event_not_found: {
    status: 404,
    title: 'There is no such event',
    wayOut: 'Check the id and the tenant; events leave after the time of the retention policy.',
  },
  payload_rejected: {
    status: 422,
    title: 'The payload does not fit the schema of its event type',
    wayOut: 'Correct the payload, or register a new version of the type.',
  },
  type_invalid: {
    status: 422,
    title: 'The event type is not valid',
    wayOut:
      'Give a name of words joined by dots, a JSON Schema (2020-12) without remote references and costly patterns, at most 64 KiB, mode off, warn or reject, and examples that fit.',
  },
  type_incompatible: {
    status: 409,
    title: 'The new version of the event type breaks what versions of it promise',
    wayOut: 'Change the places that the detail lists, register a new type, or give compatibility none when every reader knows of the change.',
  },
  type_unknown: {
    status: 404,
    title: 'There is no such event type',
    wayOut: 'Register it with PUT /api/v1/event-types/{name} or plinth.define_event_type, or leave the version out.',
  },
  idempotency_conflict: {
    status: 409,
    title: 'The idempotency key was used for other events',
    wayOut: 'Send the same types, payloads and streams under one key, or use a new key.',
  },
  version_conflict: {
    status: 409,
    title: 'The stream is at another version',
    wayOut: 'Read the events that were appended since, decide again, and append with the version you then see.',
  },
  version_not_found: {
    status: 404,
    title: 'The stream has no such version',
    wayOut: 'Ask for a version from 0 to that of the last event; plinth.event_streams shows it.',
  },
  history_gone: {
    status: 410,
    title: 'Events that the state needs are no longer kept',
    wayOut: 'Keep events longer than the streams that are folded live, or end such a stream with an event that sums it up and go on in a new one.',
  },
  upcast_failed: {
    status: 500,
    title: 'An old event could not be brought into the newest form of its type',
    wayOut: 'Correct the upcaster of the type and version that are named, and keep a fossil of such an event for its test (fossilFaults).',
  },
  state_not_json: {
    status: 500,
    title: 'The state of a fold cannot be kept as a snapshot',
    wayOut: 'Make states of plain objects, arrays, text, finite numbers and booleans, or leave snapshotEvery out.',
  },
  consumer_unknown: {
    status: 404,
    title: 'There is no such consumer',
    wayOut: 'Take its name, <module>.<name>, from plinth.consumers; a consumer is known once the database was migrated with its module or it ran once.',
  },
  operation_invalid: {
    status: 422,
    title: 'This cannot be done to a consumer or a parked event',
    wayOut: 'Give a reason of 1 to 1,000 characters and the other arguments as they are described.',
  },
  parked_not_found: {
    status: 404,
    title: 'There is no such parked event',
    wayOut: 'Look for it in plinth.parked_events; one that was handled or discarded stays as it is.',
  },
  key_missing: {
    status: 503,
    title: 'The process has not the key that personal fields are encrypted with',
    wayOut: 'Give it PLINTH_MASTER_KEY (32 random bytes in base64), and in PLINTH_MASTER_KEY_OLD those before it until plinth keys rewrap has run.',
  },
  subject_missing: {
    status: 422,
    title: 'The payload has personal fields and does not say whose they are',
    wayOut: 'Fill the field that x-subject of the schema points to with the id of the person.',
  },
  personal_refused: {
    status: 422,
    title: 'Events with personal fields cannot be published in SQL',
    wayOut: 'Publish them through the library or POST /api/v1/events: they are encrypted where the master key is, which is not in the database.',
  },
  projection_flooded: {
    status: 422,
    title: 'One transaction publishes more events than inline projections follow',
    wayOut: 'Publish fewer in a transaction, or make the projection async.',
  },
  offset_on_standby: {
    status: 409,
    title: 'There is no offset for realtime on a standby',
    wayOut: 'Load the page and take the offset from the primary.',
  },
  append_only: {
    status: 403,
    title: 'Events cannot be changed or deleted',
    wayOut: 'Publish a new event that corrects the old one; old events leave by the retention policy.',
  },
} as const satisfies ErrorCatalogue;
