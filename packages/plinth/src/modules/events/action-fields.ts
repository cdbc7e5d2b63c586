import type { ActionField } from '#kernel/module.ts';

/** Why an operator does it; it is kept in the audit log. */
export const reasonFields: readonly ActionField[] = [{ name: 'reason', label: 'Why', type: 'text', required: true }];

/** Where a consumer goes on: the input of the procedure `rewindConsumer`. */
export const rewindFields: readonly ActionField[] = [
  {
    name: 'to',
    label: 'Goes on',
    type: 'choice',
    options: [
      { value: '', label: 'With what was written since a time' },
      { value: 'beginning', label: 'With everything that is kept' },
      { value: 'now', label: 'Without what was committed so far' },
    ],
  },
  { name: 'at', label: 'Since', type: 'time', required: true, when: { field: 'to', in: [''] } },
  { name: 'forward', label: 'Also where that passes over unread events', type: 'flag', when: { field: 'to', in: [''] } },
  ...reasonFields,
];
