/** Which fields of a payload are personal, and whose: the words `x-personal` and `x-subject` of a schema. */

/** The name of a member, or all members (of an array, or of an object but the named ones). */
export type Step = string | { readonly except: ReadonlySet<string> };

export interface PersonalField {
  path: readonly Step[];
  /** JSON Pointer into the payload, to the id of the data subject. */
  subject: string;
}

type Node = Record<string, unknown>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);
const DEEPEST = 64;
/** Of a schema, each as often as references lead to it. */
const MOST_PARTS = 10_000;
const POINTER = /^(?:\/(?:[^~/]|~[01])+)+$/;
const NONE: ReadonlySet<string> = new Set();

/** Every part of a schema that is marked, wherever it stands. */
function marked(node: unknown, found = new Set<Node>(), depth = 0): Set<Node> {
  if (depth > DEEPEST || typeof node !== 'object' || node === null) return found;
  if (isNode(node) && node['x-personal'] === true) found.add(node);
  for (const part of Object.values(node)) marked(part, found, depth + 1);
  return found;
}

const parts = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** The value at a JSON Pointer; undefined where it leads nowhere. */
export const valueAt = (root: unknown, pointer: string): unknown =>
  parts(pointer).reduce<unknown>(
    (node, part) => (typeof node === 'object' && node !== null && Object.hasOwn(node, part) ? (node as Node)[part] : undefined),
    root,
  );

/**
 * The personal fields of a schema. Followed are properties, additionalProperties, items, prefixItems, references within the schema, and the branches of
 * allOf, anyOf, oneOf, if, then and else. Errors: an Error when a mark stands where it cannot be followed, or names no subject: a field that is
 * called personal must never be stored as it is.
 */
export function personalFields(schema: Node): PersonalField[] {
  const all = marked(schema);
  if (all.size === 0) return [];
  const fields: PersonalField[] = [];
  const seen = new Set<Node>();
  let walked = 0;
  const walk = (node: unknown, path: readonly Step[], chain: readonly Node[]): void => {
    if (!isNode(node)) return;
    walked += 1;
    if (walked > MOST_PARTS) throw new Error(`a schema with personal fields has at most ${MOST_PARTS} parts, counted as often as references lead to them`);
    if (chain.includes(node)) throw new Error('personal fields cannot be in a schema that refers to itself');
    const below = [...chain, node];
    if (node['x-personal'] === true) {
      const subject = node['x-subject'] ?? schema['x-subject'];
      if (typeof subject !== 'string' || !POINTER.test(subject))
        throw new Error(
          'a personal field needs x-subject, beside it or at the top of the schema: a JSON Pointer to the id of the person, such as /customer_id',
        );
      seen.add(node);
      fields.push({ path, subject });
      // What is encrypted as a whole may hold further marks.
      for (const inner of marked(node)) seen.add(inner);
      return;
    }
    if (typeof node.$ref === 'string' && node.$ref.startsWith('#')) walk(node.$ref === '#' ? schema : valueAt(schema, node.$ref.slice(1)), path, below);
    if (isNode(node.properties)) for (const [name, part] of Object.entries(node.properties)) walk(part, [...path, name], below);
    const named = new Set(isNode(node.properties) ? Object.keys(node.properties) : []);
    walk(node.additionalProperties, [...path, { except: named }], below);
    walk(node.items, [...path, { except: NONE }], below);
    if (Array.isArray(node.prefixItems)) for (const [index, part] of node.prefixItems.entries()) walk(part, [...path, String(index)], below);
    for (const word of ['allOf', 'anyOf', 'oneOf'] as const) if (Array.isArray(node[word])) for (const part of node[word]) walk(part, path, below);
    for (const word of ['if', 'then', 'else'] as const) walk(node[word], path, below);
  };
  walk(schema, [], []);
  if ([...all].some((node) => !seen.has(node)))
    throw new Error('x-personal stands where it is not followed: mark properties, items or parts that are referred to');
  if (fields.some(({ path }) => path.length === 0)) throw new Error('the payload as a whole cannot be personal: mark its properties');
  return fields;
}

/** The places of a payload that a path leads to. */
export function placesOf(root: Node, path: readonly Step[]): { holder: Node; key: string }[] {
  let holders: Node[] = [root];
  const keysOf = (holder: Node, step: Step): string[] =>
    typeof step === 'string' ? (Object.hasOwn(holder, step) ? [step] : []) : Object.keys(holder).filter((key) => !step.except.has(key));
  for (const step of path.slice(0, -1))
    holders = holders.flatMap((holder) =>
      keysOf(holder, step).flatMap((key) => {
        const inner = holder[key];
        return typeof inner === 'object' && inner !== null ? [inner as Node] : [];
      }),
    );
  const last = path.at(-1);
  return last === undefined ? [] : holders.flatMap((holder) => keysOf(holder, last).map((key) => ({ holder, key })));
}
