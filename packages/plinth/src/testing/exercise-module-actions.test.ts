import { expect, test } from 'vitest';
import { z } from 'zod';
import { type ActionCard, defineModule } from '#kernel/module.ts';
import { procedure } from '#kernel/rpc.ts';
import { brokenActions } from './exercise-module-actions.ts';

const send = procedure({ rest: 'POST /boxes/{id}/send', permission: 'boxes.write', summary: 'Sends a box' })
  .input(z.object({ id: z.guid(), to: z.string() }))
  .output(z.object({}))
  .mutation(async () => ({}));

test('an action whose procedure is missing, or takes no id or not what a field asks for, is found; one in order is not', () => {
  const list = { title: 'Boxes', view: 'boxes', columns: ['label'], filters: [], empty: 'None.' };
  const ask = (name: string) => [{ name, label: name, type: 'text' as const }];
  const card = (actions: ActionCard[]) =>
    defineModule({ name: 'boxes', summary: 'Boxes.', tables: {}, api: { send, nested: { send } }, lists: { boxes: { ...list, actions } } });
  expect(
    brokenActions(
      card([
        { procedure: 'send', label: 'Send', fields: ask('to') },
        { procedure: 'nested.send', label: 'Send', counts: { procedure: 'send', field: 'count', what: 'boxes' } },
      ]),
    ),
  ).toEqual([]);
  expect(
    brokenActions(
      card([
        { procedure: 'lose', label: 'Lose' },
        { procedure: 'send', label: 'Send', fields: ask('weight'), counts: { procedure: 'guess', field: 'count', what: 'boxes' } },
      ]),
    ),
  ).toEqual([
    'boxes, Lose: there is no procedure lose with an input',
    'boxes, Send: send does not take weight',
    'boxes, Send: there is no procedure guess with an input',
  ]);
});
