import { z } from 'zod';

/** A jsonpath as text, one filter of CloudEvents, or a list of them that must all fit (an empty one: no filter). SQL judges what is in it. */
export const filter = z.union([z.string().min(1).max(2000), z.record(z.string(), z.unknown()), z.array(z.record(z.string(), z.unknown())).max(50)]);

/** SQL tells what to leave (null) from what to take away (JSON null). */
export const asJson = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
