/** What all modules promise, tested once for all of them: the registry is the list, the card is the specification. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AnyModule, ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';
import { exerciseModule } from '../packages/plinth/src/testing/exercise-module.ts';
import { readmeExamples, runExample } from './readme-examples.ts';

const root = join(import.meta.dirname, '..');
const all: ModuleMap = modules;
let database: TestDatabase;
const place = { url: () => database.url, modules: all };
/** Migrates all modules, whichever of them asks: asked once, at the end. */
const TOGETHER = 'migrating again changes nothing';

beforeAll(async () => {
  database = await testDatabase('modules');
});
afterAll(() => database.drop());

test('there are modules', () => {
  expect(Object.keys(all).length).toBeGreaterThan(0);
});

describe.each(Object.values(all).map((card: AnyModule) => [card.name, card] as const))('module %s', (name, card) => {
  const promises = exerciseModule(card, place).filter(({ name: promise }) => promise !== TOGETHER);
  test.each(promises.map(({ name: promise, run }) => [promise, run] as const))('%s', (_promise, run) => run());

  const readme = join(root, 'packages/plinth/src/modules', name, 'README.md');
  const examples = existsSync(readme) ? readmeExamples(readFileSync(readme, 'utf8')) : [];

  test('its README says what it is, when not to use it, what it guarantees, its limits, and has an example that runs', () => {
    const text = existsSync(readme) ? readFileSync(readme, 'utf8') : '';
    for (const heading of [/^# /m, /^##.*\bnot\b/im, /^##.*\bguarantee/im, /^##.*\blimit/im]) expect(text).toMatch(heading);
    expect(examples.length).toBeGreaterThan(0);
  });

  test.each(examples.map((example) => [example.line, example] as const))('the example at line %i of its README runs', async (_line, example) => {
    await runExample(example, database);
  });
});

test(`all modules together: ${TOGETHER}`, async () => {
  const [card] = Object.values(all);
  const promise = card && exerciseModule(card, place).find(({ name }) => name === TOGETHER);
  if (!promise) throw new Error('no module promises that');
  await promise.run();
});
