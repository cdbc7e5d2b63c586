import type { ListCard } from '#kernel/module.ts';
import { reasonFields, rewindFields } from './action-fields.ts';

export const consumersLists = {
  consumers: {
    title: 'Consumers',
    view: 'consumers',
    columns: ['consumer', 'status', 'waiting', 'lag_s', 'oldest_waiting_at', 'handled', 'failures', 'failing_since', 'parked', 'last_error', 'pause_reason'],
    filters: ['consumer', 'status'],
    empty: 'No consumer reads the events. A module puts one on its card; they belong to the installation and are shown to operators.',
    actions: [
      { procedure: 'pauseConsumer', label: 'Pause', when: { column: 'status', in: ['current', 'behind', 'failing'] }, fields: reasonFields, danger: true },
      { procedure: 'resumeConsumer', label: 'Resume', when: { column: 'status', in: ['paused'] } },
      { procedure: 'rewindConsumer', label: 'Rewind', fields: rewindFields },
      { procedure: 'forgetConsumer', label: 'Forget', fields: reasonFields, danger: true },
    ],
  },
  parked: {
    title: 'Parked events',
    view: 'parked_events',
    columns: ['created_at', 'consumer', 'event_type', 'status', 'attempts', 'retry_at', 'error', 'reason', 'event_id', 'correlation_id'],
    filters: ['consumer', 'status', 'event_type', 'event_id', 'correlation_id'],
    empty: 'No event was put aside: every consumer handled what it was given.',
    actions: [
      { procedure: 'retryParked', label: 'Try again', when: { column: 'status', in: ['parked', 'failing'] } },
      { procedure: 'parkFailing', label: 'Go on without it', when: { column: 'status', in: ['failing'] }, fields: reasonFields },
      {
        procedure: 'discardParked',
        label: 'Give up',
        when: { column: 'status', in: ['failing', 'waiting', 'parked', 'due'] },
        fields: reasonFields,
        danger: true,
      },
    ],
  },
} as const satisfies Record<string, ListCard>;
