import { cleanText } from './clean-text.ts';
import { withoutSecrets } from './secret-text.ts';

/**
 * What is kept of a thrown thing as text: never a stack, which would show paths to every reader of a job, nor passwords and keys, which drivers put into messages. Anything can be thrown, so nothing here throws, and what is
 * made can be stored: a failure that cannot be noted would be tried for ever.
 */

/** Of an AggregateError, as a connection that no address answered ends with. */
const MOST_PARTS = 5;
const UNREADABLE = 'what was thrown cannot be read';

/** What it says, without its name: of what is no error its message all the same, or what it holds. */
export const messageOf = (thrown: unknown): string => withoutSecrets(cleanText(said(thrown)));

function said(thrown: unknown): string {
  try {
    if (thrown === null || typeof thrown !== 'object') return String(thrown);
    const { message, errors } = thrown as { message?: unknown; errors?: unknown };
    if (typeof message === 'string' && message !== '') return message;
    if (Array.isArray(errors) && errors.length > 0) return errors.slice(0, MOST_PARTS).map(said).join('; ');
    return thrown instanceof Error ? String(message ?? '') : (JSON.stringify(thrown) ?? String(thrown));
  } catch {
    return UNREADABLE;
  }
}

/** Its name, unless that says nothing, and what it says. */
function named(thrown: unknown): string {
  const message = messageOf(thrown);
  if (!(thrown instanceof Error) || thrown.name === 'Error') return message;
  return message === '' ? messageOf(thrown.name) : `${messageOf(thrown.name)}: ${message}`;
}

/** Name and message, and those of what caused it. */
export function describeError(thrown: unknown): string {
  try {
    const cause = thrown instanceof Error ? thrown.cause : undefined;
    return cause === undefined ? named(thrown) : `${named(thrown)} (${named(cause)})`;
  } catch {
    return UNREADABLE;
  }
}

/** As a span records it. */
export const exceptionOf = (thrown: unknown): { name: string; message: string; stack: string } | string =>
  thrown instanceof Error ? { name: thrown.name, message: messageOf(thrown), stack: withoutSecrets(thrown.stack ?? '') } : describeError(thrown);
