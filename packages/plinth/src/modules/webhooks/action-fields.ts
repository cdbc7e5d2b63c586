import type { ActionField } from '#kernel/module.ts';

/** How a subscription goes on; what was missed begins in the column `since`. */
export const resumeFields = (since: string): ActionField[] => [
  {
    name: 'mode',
    label: 'How it goes on',
    type: 'choice',
    options: [
      { value: 'continue', label: 'With what waits' },
      { value: 'skip', label: 'Without what waits: it is dropped' },
      { value: 'replay', label: 'With what waits, and every event since a time again' },
    ],
  },
  { name: 'since', label: 'Since', type: 'time', required: true, from: since, when: { field: 'mode', in: ['replay'] } },
];

/** Of which type a test event is. */
export const testFields: readonly ActionField[] = [
  { name: 'event_type', label: 'Type', type: 'text', hint: 'A registered type: its example is sent. Left out: webhooks.test.' },
];

/** What is sent again: the input of the procedure `replay`. */
export const replayFields: readonly ActionField[] = [
  { name: 'only_failed', label: 'Only what was given up', type: 'flag' },
  { name: 'since', label: 'Since', type: 'time', hint: 'Needed for all that happened.' },
  { name: 'until', label: 'Until', type: 'time', hint: 'Left out: now.' },
  { name: 'patterns', label: 'Types', type: 'list', hint: 'Such as order.paid or order.*' },
  { name: 'filter', label: 'Filter', type: 'json', hint: 'A jsonpath such as $.data.total > 100, or filters of CloudEvents.' },
  { name: 'ids', label: 'Ids', type: 'list', hint: 'Only these: of events, or webhook-ids.' },
  { name: 'rate_per_second', label: 'At most so many a second', type: 'number', hint: 'Left out: as fast as it goes.' },
];
