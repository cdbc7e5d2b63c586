/** JSON in which every number keeps its digits, as the API gives them: those that JavaScript would round stay raw JSON, and are shown and copied as they came. */
interface RawJson {
  rawJSON: string;
}
const lossless = JSON as typeof JSON & {
  rawJSON?: (text: string) => RawJson;
  isRawJSON?: (value: unknown) => value is RawJson;
};

/** Only long numbers lose digits; and 1e400, which is long for JavaScript alone. */
const mayLose = (text: string): boolean => /[\d.]{16}|\de[+-]?\d{3}/i.test(text);

export function parseJson(text: string): unknown {
  const { rawJSON } = lossless;
  if (!rawJSON || !mayLose(text)) return JSON.parse(text);
  const reviver = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && context?.source && mayLose(context.source) && String(value) !== context.source ? rawJSON(context.source) : value;
  return JSON.parse(text, reviver);
}

/** The digits of a number that JavaScript would round, when `value` is one. */
export const rawNumber = (value: unknown): string | undefined => (lossless.isRawJSON?.(value) ? value.rawJSON : undefined);

/** A text that may be JSON, indented when it is; as it came where the browser could not keep its digits. */
export function pretty(text: string): string {
  if (!lossless.rawJSON && mayLose(text)) return text;
  try {
    return JSON.stringify(parseJson(text), null, 2);
  } catch {
    return text;
  }
}
