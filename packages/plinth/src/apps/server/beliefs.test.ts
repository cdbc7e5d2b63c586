import { expect, test } from 'vitest';
import { createBeliefs } from './beliefs.ts';

test('what was being looked up when rights changed is not believed afterwards, and what was refused never is', async () => {
  const beliefs = createBeliefs<{ roles: string[] }>(60_000);
  const { promise, resolve } = Promise.withResolvers<{ roles: string[] }>();
  const before = beliefs.about('ada', () => promise);
  beliefs.forget();
  resolve({ roles: ['owner'] });
  expect(await before).toEqual({ roles: ['owner'] });
  await expect(beliefs.about('ada', () => Promise.reject(new Error('suspended')))).rejects.toThrow('suspended');
  expect(await beliefs.about('ada', async () => ({ roles: [] }))).toEqual({ roles: [] });
  expect(await beliefs.about('ada', () => Promise.reject(new Error('not asked')))).toEqual({ roles: [] });
});
