import { z } from 'zod';

/** The definition of a schema, as far as it is walked here. */
type Def = Omit<z.core.$ZodTypeDef, 'error'> & {
  error?: z.core.$ZodErrorMap | undefined;
  shape?: Record<string, z.core.$ZodType>;
  catchall?: z.core.$ZodType;
  element?: z.core.$ZodType;
  innerType?: z.core.$ZodType;
  valueType?: z.core.$ZodType;
  options?: readonly z.core.$ZodType[];
};

/**
 * The same schema, but no object in it takes a field that it does not know, however deep: a misspelt filter would be no filter, and a misspelt
 * idempotency key none. Objects that say what else they take (`catchall`, `z.looseObject`) stay as they are.
 */
export function strictInput<T extends z.core.$ZodType>(schema: T): T {
  const def = schema._zod.def as Def;
  const changed = changedDef(def);
  return changed ? (z.core.clone(schema, { ...def, ...changed } as T['_zod']['def'], { parent: true }) as T) : schema;
}

function changedDef(def: Def): Partial<Def> | undefined {
  if (def.shape) return def.catchall ? undefined : strictObject(def.shape, def.error);
  if (def.element) return { element: strictInput(def.element) };
  if (def.innerType) return { innerType: strictInput(def.innerType) };
  if (def.valueType) return { valueType: strictInput(def.valueType) };
  if (def.options) return { options: def.options.map(strictInput) };
  return undefined;
}

function strictObject(shape: Record<string, z.core.$ZodType>, before: z.core.$ZodErrorMap | undefined): Partial<Def> {
  const names = Object.keys(shape);
  const known = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
  return {
    shape: Object.fromEntries(Object.entries(shape).map(([name, inner]) => [name, strictInput(inner)])),
    catchall: z.never(),
    error: (issue) => (issue.code === 'unrecognized_keys' ? `there is no field ${issue.keys.join(', ').slice(0, 200)}; ${known}` : before?.(issue)),
  };
}
