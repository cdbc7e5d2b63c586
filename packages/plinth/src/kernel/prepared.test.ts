import { expect, test } from 'vitest';
import { statementName } from './prepared.ts';

test('a text is prepared under one name in every process, whatever each has prepared before: through a pooler one may meet what another prepared', () => {
  expect([statementName('select 2'), statementName('select 1'), statementName('select 2')]).toEqual([
    'plinth_3cf988cc782b44bc24ceb17e',
    'plinth_822ae07d4783158bc1912bb6',
    'plinth_3cf988cc782b44bc24ceb17e',
  ]);
});
