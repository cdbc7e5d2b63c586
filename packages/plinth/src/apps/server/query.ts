import { fail } from '#kernel/errors.ts';
import { checkText } from './body.ts';

/** What is asked of a zod schema here: its kind and what it wraps. */
interface Schema {
  _zod?: { def?: { type?: string; innerType?: unknown; in?: unknown; shape?: Record<string, unknown>; element?: unknown } };
}

const defOf = (schema: unknown) => (schema as Schema | undefined)?._zod?.def;

/** The kind below optional(), nullable(), default(), readonly() and pipes. */
function kindOf(schema: unknown): { kind: string | undefined; element: unknown } {
  let def = defOf(schema);
  for (let i = 0; i < 10 && def; i++) {
    const inner = def.innerType ?? def.in;
    if (inner === undefined) break;
    def = defOf(inner);
  }
  return { kind: def?.type, element: def?.element };
}

/** Text of a query as the type that the schema wants; what does not fit stays text, and zod says what is wrong with it. */
function typed(text: string, kind: string | undefined): unknown {
  if (kind === 'number' || kind === 'int') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** The query of a GET or DELETE as input of a procedure. Errors: kernel_invalid_input, kernel_forbidden_text. */
export function readQuery(query: URLSearchParams, schema: unknown): Record<string, unknown> {
  const shape = defOf(schema)?.shape ?? {};
  const input: Record<string, unknown> = {};
  for (const name of new Set(query.keys())) {
    checkText(name);
    if (!Object.hasOwn(shape, name))
      throw fail('invalid_input', {
        message: `There is no parameter ${name.slice(0, 100)}`,
        detail: { issues: [{ field: name.slice(0, 100), message: 'unknown parameter' }], known: Object.keys(shape) },
      });
    const values = query.getAll(name);
    for (const value of values) checkText(value);
    const { kind, element } = kindOf(shape[name]);
    if (kind === 'array') {
      const inner = kindOf(element).kind;
      input[name] = values.map((value) => typed(value, inner));
    } else if (values.length > 1)
      throw fail('invalid_input', { message: `The parameter ${name} was given twice`, detail: { issues: [{ field: name, message: 'given twice' }] } });
    else input[name] = typed(values[0] ?? '', kind);
  }
  return input;
}
