import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  entry_invalid: {
    status: 422,
    title: 'The audit entry is not valid',
    wayOut: 'Give an action, and an entity type with every entity id; before and after are JSON objects.',
  },
  append_only: {
    status: 403,
    title: 'Audit entries cannot be changed or deleted',
    wayOut: 'Write a new entry that corrects the old one; old entries leave by the retention policy.',
  },
  redaction_lost: {
    status: 409,
    title: 'A column that the audit log must not show was renamed or dropped',
    wayOut: 'Call plinth.audit_table again with the columns to redact, in the transaction that renames or drops one.',
  },
  table_unsupported: {
    status: 422,
    title: 'This table cannot be captured',
    wayOut: 'Capture an ordinary or partitioned table that has a primary key, and redact columns that exist. On Citus record entries explicitly.',
  },
} as const satisfies ErrorCatalogue;
