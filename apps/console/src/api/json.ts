/** JSON in which integers beyond 2^53 keep every digit: they stay raw JSON and are shown and copied as they came. */
interface RawJson {
  rawJSON: string;
}
const lossless = JSON as typeof JSON & {
  rawJSON?: (text: string) => RawJson;
  isRawJSON?: (value: unknown) => value is RawJson;
};

export function parseJson(text: string): unknown {
  const { rawJSON } = lossless;
  if (!rawJSON) return JSON.parse(text);
  const reviver = (_key: string, value: unknown, context?: { source?: string }): unknown => {
    const unsafe = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
    return unsafe && context?.source ? rawJSON(context.source) : value;
  };
  return JSON.parse(text, reviver);
}

/** The digits of a number too large for JavaScript, when `value` is one. */
export const rawNumber = (value: unknown): string | undefined => (lossless.isRawJSON?.(value) ? value.rawJSON : undefined);
