/** Calls a command by what was typed. What it does not know is refused before anything is done: a `--dryrun` that is passed over would delete. */
import { parseArgs, stripVTControlCharacters } from 'node:util';
import type { ArgsDef, CommandDef } from 'citty';
import { renderUsage, runCommand } from 'citty';
import { complain } from './output.ts';
import { SettingFault } from './setting.ts';

interface Called {
  command: CommandDef;
  /** `plinth events export`. */
  name: string;
  /** What was typed behind the name. */
  typed: readonly string[];
}

const resolved = async <T>(value: T | Promise<T> | (() => T) | (() => Promise<T>) | undefined): Promise<T | undefined> =>
  typeof value === 'function' ? (value as () => T | Promise<T>)() : value;

const HELP: ReadonlySet<string> = new Set(['--help', '-h']);

/** Follows the names of commands as far as they go. Errors: a word that is none of them. */
async function calledBy(main: CommandDef, typed: readonly string[]): Promise<Called> {
  let called: Called = { command: main, name: 'plinth', typed };
  for (;;) {
    const commands = await resolved(called.command.subCommands);
    const [word, ...rest] = called.typed;
    if (!commands || word === undefined || HELP.has(word)) return called;
    if (word.startsWith('-')) throw new SettingFault(`${word} stands before the name of a command: write ${called.name} <command> ${word}.`);
    const next = Object.hasOwn(commands, word) ? await resolved(commands[word]) : undefined;
    if (!next) throw new SettingFault(`There is no command ${called.name} ${word}: choose ${Object.keys(commands).join(', ')}.`);
    called = { command: next as CommandDef, name: `${called.name} ${word}`, typed: rest };
  }
}

const shown = (name: string): string => `--${name}`;
const listed = (words: readonly string[], none: string): string => (words.length === 0 ? none : words.join(', '));

/** Errors: an option that the command does not have, one without its value, a word too many, one that is missing. */
function check({ name, typed }: Called, args: ArgsDef): void {
  const positions = Object.entries(args).filter(([, { type }]) => type === 'positional');
  const options = Object.entries(args).filter(([, { type }]) => type !== 'positional');
  const { tokens } = parseArgs({
    args: [...typed],
    options: Object.fromEntries(options.map(([option, { type }]) => [option, { type: type === 'boolean' ? 'boolean' : 'string' } as const])),
    allowPositionals: true,
    allowNegative: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = args[token.name];
    if (!token.rawName.startsWith('--') || !option || option.type === 'positional')
      throw new SettingFault(
        `There is no option ${typed[token.index]}: ${name} takes ${listed(
          options.map(([each]) => shown(each)),
          'none',
        )}.`,
      );
    if (option.type === 'boolean') {
      if (token.value !== undefined) throw new SettingFault(`${shown(token.name)} takes no value: leave out ${JSON.stringify(token.value)}.`);
      // An option whose value was forgotten would swallow the next one, and an empty variable of a shell would count as not given.
    } else if (!token.value || (!token.inlineValue && token.value.startsWith('--')))
      throw new SettingFault(`${shown(token.name)} has no value: write ${shown(token.name)}=<value>.`);
  }
  const words = tokens.filter((token) => token.kind === 'positional').map(({ value }) => value);
  const missing = positions.slice(words.length).find(([, each]) => each.required !== false && each.default === undefined);
  if (missing) throw new SettingFault(`${name} wants <${missing[0]}>: ${missing[1].description}.`);
  const surplus = words.slice(positions.length);
  if (surplus.length > 0) throw new SettingFault(`${name} does not know what to do with ${surplus.map((word) => JSON.stringify(word)).join(', ')}.`);
}

async function usage({ command, name }: Called): Promise<string> {
  const meta = await resolved(command.meta);
  const text = await renderUsage({ ...command, meta: { ...meta, name } } as CommandDef);
  return process.stdout.isTTY && !process.env.NO_COLOR ? text : stripVTControlCharacters(text);
}

/** Runs what was typed; exit code 2 where it was no call of a command. */
export async function call(main: CommandDef, typed: readonly string[]): Promise<void> {
  try {
    const called = await calledBy(main, typed);
    if (called.typed.some((word) => HELP.has(word))) process.stdout.write(`${await usage(called)}\n`);
    else if (called.command.subCommands) {
      process.stderr.write(`${await usage(called)}\n`);
      process.exitCode = 2;
    } else {
      check(called, (await resolved(called.command.args)) ?? {});
      await runCommand(called.command, { rawArgs: [...called.typed] });
    }
  } catch (error) {
    complain(error);
    if (error instanceof SettingFault) process.stderr.write('  plinth <command> --help tells what each command takes.\n');
  }
}
