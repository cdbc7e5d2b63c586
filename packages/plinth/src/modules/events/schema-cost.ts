/** How long checking a value can take at most, told by the schema and the length of the value alone. */

type Node = Record<string, unknown>;

/** What a schema makes of every character of a value: so much, and so much more for each other character of it. */
export interface Cost {
  each: number;
  pairs: number;
}

export const FREE: Cost = { each: 0, pairs: 0 };
const ENDLESS: Cost = { each: Number.POSITIVE_INFINITY, pairs: 0 };
/** Steps of a pattern and comparisons of items, in characters of a schema: measured, so that one of a kind takes about as long as one of the other. */
const STEP = 100;
const COMPARISON = 200;
export const LONGEST_PATTERN_INPUT = 256;

/** Quantifiers without an upper end, or with a range. */
export const openRepetitions = (pattern: string): number => (pattern.match(/[*+]|\{\d*,\}|\{\d+,\d+\}/g) ?? []).length;

/** Escapes and classes of a pattern as one character each. */
export const bare = (pattern: string): string => pattern.replaceAll(/\\[^1-9k]/g, '_').replaceAll(/\[[^\]]*\]?/g, '_');

function targetOf(root: Node, reference: string): unknown {
  if (reference === '#') return root;
  if (!reference.startsWith('#/')) return undefined;
  return reference
    .slice(2)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((node, part) => (typeof node === 'object' && node !== null && Object.hasOwn(node, part) ? (node as Node)[part] : undefined), root);
}

/** What references lead to is counted as often as they are made; those that lead back to where they came from, or nobody knows where, are endless. */
export function costOf(root: Node): Cost {
  const known = new Map<unknown, Cost | 'begun'>();
  const sum = (costs: readonly Cost[]): Cost => costs.reduce((a, b) => ({ each: a.each + b.each, pairs: a.pairs + b.pairs }), { each: 2, pairs: 0 });
  const cost = (node: unknown): Cost => {
    if (typeof node !== 'object' || node === null) return { each: String(node).length, pairs: 0 };
    const before = known.get(node);
    if (before) return before === 'begun' ? ENDLESS : before;
    known.set(node, 'begun');
    const own = Array.isArray(node) ? sum(node.map(cost)) : costOfObject(node as Node);
    known.set(node, own);
    return own;
  };
  const costOfObject = (node: Node): Cost => {
    const parts = Object.entries(node).map(([key, part]) => {
      const { each, pairs } = cost(part);
      return { each: each + key.length, pairs };
    });
    if (typeof node.pattern === 'string') parts.push({ each: STEP * LONGEST_PATTERN_INPUT ** openRepetitions(bare(node.pattern)), pairs: 0 });
    if (node.uniqueItems === true) parts.push({ each: 0, pairs: COMPARISON });
    if ('$dynamicRef' in node || '$recursiveRef' in node || '$id' in node) parts.push(ENDLESS);
    if (typeof node.$ref === 'string') {
      const target = targetOf(root, node.$ref);
      parts.push(target === undefined ? ENDLESS : cost(target));
    }
    return sum(parts);
  };
  return cost(root);
}

/** For a value of so many characters; of two the greater may take longer, and 10 ** 9 takes some 50 ms at most. */
export const costFor = ({ each, pairs }: Cost, characters: number): number => characters * (each + pairs * characters);
