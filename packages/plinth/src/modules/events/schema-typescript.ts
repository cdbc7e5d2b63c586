/** JSON Schema as TypeScript types. */

type Node = Record<string, unknown>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);
const DEEPEST = 64;
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** `order.line-item` -> `OrderLineItem`. */
export const pascal = (text: string): string => {
  const name = text
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
  return /^[A-Za-z]/.test(name) ? name : `T${name}`;
};

/** A comment above a declaration; nothing when there is nothing to say. */
export function comment(lines: readonly string[], indent = ''): string {
  const said = lines.flatMap((line) => line.replaceAll('*/', '* /').split(/\r?\n/)).filter((line) => line !== '');
  if (said.length === 0) return '';
  return said.length === 1 ? `${indent}/** ${said[0]} */\n` : `${indent}/**\n${said.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`;
}

/** A stray percent sign is meant as it stands. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const at = (root: Node, pointer: string): unknown =>
  pointer
    .slice(2)
    .split('/')
    .map((part) => decoded(part).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((node, part) => (typeof node === 'object' && node !== null && Object.hasOwn(node, part) ? (node as Node)[part] : undefined), root);

const union = (parts: readonly string[]): string => [...new Set(parts)].join(' | ') || 'never';
const bracketed = (text: string): string => (/[ |&]/.test(text) && !/^\{[^{}]*\}$/.test(text) ? `(${text})` : text);

/**
 * Declarations of a schema: the first is of `name`, the others of what it refers to within itself, under names that `taken` does not hold yet. What
 * TypeScript cannot say (bounds, patterns, `not`, conditions) is left out, so that every value that fits the schema fits the type.
 */
export function typescriptOf(name: string, schema: Node, taken: Set<string>, said: readonly string[] = []): string {
  const names = new Map<string, string>([['#', name]]);
  const waiting: string[] = [];
  const nameOf = (pointer: string): string => {
    const known = names.get(pointer);
    if (known) return known;
    const base = `${name}${pascal(pointer.split('/').at(-1) ?? '')}`;
    let free = base;
    for (let n = 2; taken.has(free); n++) free = `${base}${n}`;
    taken.add(free);
    names.set(pointer, free);
    waiting.push(pointer);
    return free;
  };
  const scope: Scope = {
    reference: (pointer) => (pointer === '#' || (pointer.startsWith('#/') && at(schema, pointer) !== undefined) ? nameOf(pointer) : 'unknown'),
  };
  const declared = [declaration(name, schema, scope, said)];
  for (let pointer = waiting.shift(); pointer !== undefined; pointer = waiting.shift())
    declared.push(declaration(nameOf(pointer), at(schema, pointer), scope, []));
  return declared.join('\n');
}

interface Scope {
  reference: (pointer: string) => string;
}

function declaration(name: string, schema: unknown, scope: Scope, said: readonly string[]): string {
  const described = isNode(schema) && typeof schema.description === 'string' && said.length === 0 ? [schema.description] : said;
  const text = typeText(schema, scope, '', 0);
  return `${comment(described)}${text.startsWith('{') && text.endsWith('}') && !text.includes(' & ') && isNode(schema) && schema.type === 'object' ? `export interface ${name} ${text}` : `export type ${name} = ${text};`}\n`;
}

function typeText(schema: unknown, scope: Scope, indent: string, depth: number): string {
  if (schema === false) return 'never';
  if (!isNode(schema) || depth > DEEPEST) return 'unknown';
  const below = (part: unknown): string => typeText(part, scope, indent, depth + 1);
  const parts: string[] = [];
  if (typeof schema.$ref === 'string') parts.push(scope.reference(schema.$ref));
  if ('const' in schema) parts.push(JSON.stringify(schema.const));
  else if (Array.isArray(schema.enum)) parts.push(union(schema.enum.map((value) => JSON.stringify(value))));
  else if (typeof schema.type === 'string' || Array.isArray(schema.type))
    parts.push(union([schema.type].flat().map((type) => ofType(String(type), schema, scope, indent, depth))));
  else if (isNode(schema.properties)) parts.push(objectText(schema, scope, indent, depth));
  for (const word of ['anyOf', 'oneOf'] as const) if (Array.isArray(schema[word])) parts.push(union(schema[word].map(below)));
  if (Array.isArray(schema.allOf)) parts.push(...schema.allOf.map(below));
  const known = [...new Set(parts)].filter((part) => part !== 'unknown');
  return known.length > 1 ? known.map(bracketed).join(' & ') : (known[0] ?? 'unknown');
}

function ofType(type: string, schema: Node, scope: Scope, indent: string, depth: number): string {
  if (type === 'object') return objectText(schema, scope, indent, depth);
  if (type === 'array') return arrayText(schema, scope, indent, depth);
  if (type === 'integer') return 'number';
  return ['string', 'number', 'boolean', 'null'].includes(type) ? type : 'unknown';
}

function arrayText(schema: Node, scope: Scope, indent: string, depth: number): string {
  const rest = schema.items === false ? undefined : typeText(schema.items ?? true, scope, indent, depth + 1);
  if (!Array.isArray(schema.prefixItems)) return `${bracketed(rest ?? 'never')}[]`;
  const first = schema.prefixItems.map((item) => `${bracketed(typeText(item, scope, indent, depth + 1))}?`);
  return `[${[...first, ...(rest === undefined ? [] : [`...${bracketed(rest)}[]`])].join(', ')}]`;
}

function objectText(schema: Node, scope: Scope, indent: string, depth: number): string {
  const properties = isNode(schema.properties) ? Object.entries(schema.properties) : [];
  const required = new Set(Array.isArray(schema.required) ? schema.required.map(String) : []);
  const inner = `${indent}  `;
  const lines = properties.map(([name, part]) => {
    const said = isNode(part)
      ? [...(typeof part.description === 'string' ? [part.description] : []), ...(part.deprecated === true ? ['@deprecated'] : [])]
      : [];
    const key = IDENTIFIER.test(name) ? name : JSON.stringify(name);
    return `${comment(said, inner)}${inner}${key}${required.has(name) ? '' : '?'}: ${typeText(part, scope, inner, depth + 1)};\n`;
  });
  for (const name of required)
    if (!properties.some(([known]) => known === name)) lines.push(`${inner}${IDENTIFIER.test(name) ? name : JSON.stringify(name)}: unknown;\n`);
  // An index signature would have to fit every named property too, so it is told only where there is none.
  if (lines.length === 0)
    return schema.additionalProperties === false
      ? 'Record<string, never>'
      : `Record<string, ${typeText(schema.additionalProperties ?? true, scope, indent, depth + 1)}>`;
  return `{\n${lines.join('')}${indent}}`;
}
