/** A time as a form has it, in the zone of the reader, as the API wants it. */
export const isoOf = (local: string): string | undefined => (local === '' ? undefined : new Date(local).toISOString());

/** A time of the API as a form has it: to the minute, and rather too early. */
export function localOf(iso: string | null): string {
  if (iso === null) return '';
  const time = new Date(iso);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
