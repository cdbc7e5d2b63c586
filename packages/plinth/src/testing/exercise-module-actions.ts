import { z } from 'zod';
import type { AnyModule } from '#kernel/module.ts';

const shape = z.object({ _def: z.object({ inputs: z.array(z.instanceof(z.ZodObject)) }) });

/** Procedure of a card by its path, `links.revoke` among them. */
const procedureAt = (api: unknown, path: string): unknown =>
  path.split('.').reduce((at, name) => (at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[name] : undefined), api);

/** What of an action its procedure does not take; undefined: there is no such procedure. */
function notTaken(api: unknown, procedure: string, names: readonly string[]): string[] | undefined {
  const found = procedureAt(api, procedure);
  // Procedures are functions with a definition.
  const read = typeof found === 'function' ? shape.safeParse({ ...found }) : undefined;
  if (!read?.success) return undefined;
  const taken = new Set(read.data._def.inputs.flatMap((input) => Object.keys(input.shape)));
  return names.filter((name) => !taken.has(name));
}

/** Buttons and explanations of rows whose procedure is none, or does not take the id of the row and what the fields ask for; the same of those that count. */
export const brokenActions = (card: AnyModule): string[] =>
  Object.entries(card.lists ?? {}).flatMap(([list, { actions, explain }]) =>
    [...(actions ?? []), ...(explain ? [{ procedure: explain.procedure, label: explain.title, fields: undefined, counts: undefined }] : [])].flatMap(
      ({ procedure, label, fields, counts }) => {
        const names = ['id', ...(fields ?? []).map(({ name }) => name)];
        return [procedure, ...(counts ? [counts.procedure] : [])].flatMap((one) => {
          const missing = notTaken(card.api, one, names)?.map((name) => `${one} does not take ${name}`);
          return (missing ?? [`there is no procedure ${one} with an input`]).map((fault) => `${list}, ${label}: ${fault}`);
        });
      },
    ),
  );
