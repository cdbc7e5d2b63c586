import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
import { newSecret, secretHash, secretKind, secretLabel, withoutSecrets } from './secret-text.ts';
import { describeError, exceptionOf } from './thrown.ts';

test('a secret has its kind, 32 random characters and a checksum, and no two are alike', () => {
  const made = new Set(Array.from({ length: 1000 }, () => newSecret('tenant')));
  expect(made.size).toBe(1000);
  for (const secret of made) {
    expect(secret).toMatch(/^plk_tenant_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}$/);
    expect(secretKind(secret)).toBe('tenant');
  }
});

test('a secret with one character changed anywhere is refused by its checksum', () => {
  const secret = newSecret('tenant');
  for (let i = 'plk_tenant_'.length; i < secret.length; i++) {
    if (secret[i] === '_') continue;
    const changed = secret.slice(0, i) + (secret[i] === 'x' ? 'y' : 'x') + secret.slice(i + 1);
    expect(secretKind(changed), `at ${i} of ${secret}`).toBeUndefined();
  }
});

test('text that is no secret has no kind', () => {
  for (const text of ['', 'plk_', 'plk_tenant_short_000000', `plk_tenant_${'a'.repeat(32)}`, `${newSecret('tenant')} `, `${newSecret('tenant')}\n`]) {
    expect(secretKind(text), JSON.stringify(text)).toBeUndefined();
  }
});

test('the label shows eight characters of a secret at most, none of them twice', () => {
  const secret = newSecret('operator');
  const { prefix, last4 } = secretLabel(secret);
  expect(prefix).toBe(secret.slice(0, 'plk_operator_'.length + 4));
  expect(last4).toHaveLength(4);
  expect(secret.slice(0, -7).endsWith(last4)).toBe(true);
  expect(secretHash(secret)).toHaveLength(32);
});

test.each(['eyJ', '-eyJ', 'eyJa.', 'a.', 'postgres://a:', 'https://', 'plk_a_', 'whsec_'])(
  'a megabyte of %s is looked through as fast as any other text',
  (part) => {
    const text = part.repeat(1_000_000 / part.length);
    // It was hours: the limit is there so that a mistake fails and does not stand still.
    const cut = runInContext('run()', createContext({ run: () => withoutSecrets(text) }), { timeout: 30_000 }) as string;
    expect(cut.length).toBeLessThanOrEqual(text.length);
  },
);

test('what is kept of an error, in the database and in spans, holds no secret that it quotes', () => {
  const key = newSecret('tenant');
  const error = new TypeError('connect postgres://app:hunter2@db/x', { cause: new Error(`refused ${key}`) });
  expect(describeError(error)).toBe('TypeError: connect postgres://app:***@db/x (refused ***)');
  expect(exceptionOf(error)).toMatchObject({ name: 'TypeError', message: 'connect postgres://app:***@db/x', stack: expect.not.stringContaining('hunter2') });
  expect(exceptionOf(key)).toBe('***');
});
