import { expect, test } from 'vitest';
import { runInContext } from './context.ts';
import { createLog } from './log.ts';
import { newSecret } from './secret-text.ts';

function capture(): { log: ReturnType<typeof createLog>; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = createLog({ part: 'test', destination: { write: (line) => void written.push(line) } });
  return { log, lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('a line has time, level, part and message, and within a context its ids', () => {
  const { log, lines } = capture();
  log.info({ count: 3 }, 'outside');
  runInContext({ actor: { type: 'user', id: 'ann' }, correlationId: 'c-1', tenantId: 't-1', requestId: 'r-1' }, () => log.warn({}, 'inside'));
  expect(lines()).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), part: 'test', count: 3, message: 'outside' },
    { level: 'warn', time: expect.any(String), part: 'test', correlation_id: 'c-1', tenant_id: 't-1', request_id: 'r-1', message: 'inside' },
  ]);
});

test('secrets are cut out by the name of their field and by their form', () => {
  const { log, lines } = capture();
  const key = newSecret('tenant');
  log.error({ authorization: `Bearer ${key}`, headers: { cookie: 'a=b', authorization: 'x' }, secret: 'x', password: 'y' }, `refused ${key}`);
  log.error(
    { error: new Error(`connect postgres://app:hunter2@db:5432/x`, { cause: new Error(`token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc and ${key}`) }) },
    'failed',
  );
  const text = JSON.stringify(lines());
  expect(text).not.toContain(key);
  expect(text).not.toMatch(/hunter2|eyJhbGci|Bearer plk/);
  expect(text).toContain('postgres://app:***@db:5432/x');
  expect(lines()[1]).toMatchObject({ error: { type: 'Error', cause: { message: 'token *** and ***' } } });
});

test.each([
  ['whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD=', '***'],
  ['whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfV=', '***'],
  ['token%3DeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc', 'token%3D***'],
  ['of eyJ.and. the end', 'of eyJ.and. the end'],
  ['redis://:hunter2@cache:6379/0', 'redis://***@cache:6379/0'],
  ['nats://a-token@bus:4222', 'nats://***@bus:4222'],
  ['https://user:hunter2@example.com/jwks', 'https://***@example.com/jwks'],
  ['https://example.com/users/ann@example.com', 'https://example.com/users/ann@example.com'],
  ['whpk_MCowBQYDK2VwAyEA', 'whpk_MCowBQYDK2VwAyEA'],
])('of %s the log has %s', (text, told) => {
  const { log, lines } = capture();
  log.error({ error: new Error(`refused: ${text}`) }, `because of ${text} here`);
  expect(lines()).toMatchObject([{ message: `because of ${told} here`, error: { message: `refused: ${told}` } }]);
});

test('levels below the one that was set are not written', () => {
  const written: string[] = [];
  const log = createLog({ level: 'warn', destination: { write: (line) => void written.push(line) } });
  log.debug({}, 'a');
  log.info({}, 'b');
  log.warn({}, 'c');
  expect(written).toHaveLength(1);
});
