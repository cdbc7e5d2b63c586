const UNREADABLE = 'what was thrown cannot be read';

/** What a thrown thing says, as text that the database can hold. Anything can be thrown, so nothing here throws: a failure that cannot be noted would be tried for ever. */
export function textOfThrown(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? String(thrown.message) : String(thrown);
    return text.replaceAll('\0', '\uFFFD').toWellFormed();
  } catch {
    return UNREADABLE;
  }
}
