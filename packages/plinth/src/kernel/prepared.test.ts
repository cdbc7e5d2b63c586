import { expect, test, vi } from 'vitest';

test('a text is prepared under one name in every process, whatever each has prepared before: through a pooler one may meet what another prepared', async () => {
  const names = async (texts: readonly string[]): Promise<Record<string, string>> => {
    vi.resetModules();
    const { statementName } = await import('./prepared.ts');
    return Object.fromEntries(texts.map((text) => [text, statementName(text)]));
  };
  const one = await names(['select 1', 'select 2']);
  expect(await names(['select 2', 'select 1'])).toEqual(one);
  expect(new Set(Object.values(one)).size).toBe(2);
});
