import { z } from 'zod';
import type { AnyModule } from '#kernel/module.ts';

const shape = z.object({ _def: z.object({ inputs: z.array(z.instanceof(z.ZodObject)) }) });

/** Procedure of a card by its path, `links.revoke` among them. */
const procedureAt = (api: unknown, path: string): unknown =>
  path.split('.').reduce((at, name) => (at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[name] : undefined), api);

/** Buttons on rows whose procedure is none, or does not take the id of the row and what the fields ask for. */
export const brokenActions = (card: AnyModule): string[] =>
  Object.entries(card.lists ?? {}).flatMap(([list, { actions }]) =>
    (actions ?? []).flatMap(({ procedure, label, fields }) => {
      const found = procedureAt(card.api, procedure);
      const where = `${list}, ${label}:`;
      // Procedures are functions with a definition.
      const read = typeof found === 'function' ? shape.safeParse({ ...found }) : undefined;
      if (!read?.success) return [`${where} there is no procedure ${procedure} with an input`];
      const taken = new Set(read.data._def.inputs.flatMap((input) => Object.keys(input.shape)));
      return ['id', ...(fields ?? []).map(({ name }) => name)].filter((name) => !taken.has(name)).map((name) => `${where} ${procedure} does not take ${name}`);
    }),
  );
