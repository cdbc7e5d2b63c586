/** What is typed wrongly does nothing: no command may guess, since some of them delete. */
import { describe, expect, test } from 'vitest';
import { command } from './command.ts';

const timeout = 60_000;
/** Whoever gets as far as the database fails there, with exit code 1. */
const nobody = { PLINTH_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing', PLINTH_MAINTENANCE_URL: 'postgres://nobody@127.0.0.1:1/nothing' };

describe('a call that no command understands ends with 2, before anything is done, and says what there is', () => {
  test.each<[string[], RegExp]>([
    [['maintain', 'retention', '--dryrun'], /There is no option --dryrun: plinth maintain takes --dry-run, --modules, --json\./],
    [['maintain', 'retention', '-dry-run'], /There is no option -dry-run: plinth maintain takes --dry-run/],
    [['maintain', 'retention', '--dry-run=no'], /--dry-run takes no value: leave out "no"/],
    [['maintain', 'retention', 'daily'], /plinth maintain does not know what to do with "daily"/],
    [['migrate', 'up', '--url', ''], /--url has no value: write --url=<value>/],
    [['consumers', 'rewind', 'a.b', '--reason', '--json'], /--reason has no value/],
    [['--json', 'maintain'], /--json stands before the name of a command: write plinth <command> --json/],
    [['migrate'], /plinth migrate wants <action>: plan/],
    [['events', 'exprot'], /There is no command plinth events exprot: choose export\./],
    [['toString'], /There is no command plinth toString: choose dev, start/],
    [['dev', '--port', 'many'], /--port is "many"/],
    [['new-module', 'Foo-Bar'], /"Foo-Bar" cannot be a module: use 3 to 30/],
  ])('plinth %j', { timeout }, async (typed, said) => {
    const { code, stdout, stderr } = await command(typed, nobody);
    expect(stderr).toMatch(said);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

test('no command at all is told what there is, where no program reads it', { timeout }, async () => {
  for (const typed of [[], ['events']]) {
    const { code, stdout, stderr } = await command(typed);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/COMMANDS/);
  }
});

test('help is told in plain text where no terminal reads it, under the whole name of the command', { timeout }, async () => {
  const { code, stdout, stderr } = await command(['events', 'export', '--help'], { NO_COLOR: '', FORCE_COLOR: '1' });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^USAGE plinth events export /m);
  expect(stdout).not.toContain('\u001b');
});

test('what is negated and what has a value behind an equals sign is understood', { timeout }, async () => {
  const { code, stderr } = await command(['maintain', 'retention', '--no-dry-run', '--modules=nothing.ts'], nobody);
  expect(stderr).toMatch(/there is no such file/);
  expect(code).toBe(2);
});
