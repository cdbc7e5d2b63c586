import type pg from 'pg';
import type { Context } from './context.ts';
import { contextSettings, contextStatements, TENANT_SETTING } from './context.ts';
import { identifier } from './database.ts';
import type { Prepared } from './prepared.ts';
import { statementName } from './prepared.ts';
import type { TransactionInput } from './transaction.ts';

type Settings = ReturnType<typeof contextSettings>;

/** BEGIN, role and context in one text, so that they travel as one message with the first statement. */
export function beginText(input: TransactionInput, context: Context, settings: Settings = contextSettings(context)): string {
  const modes = ` isolation level ${input.isolation ?? 'read committed'}${input.readOnly ? ', read only' : ''}`;
  const role = input.role === null ? '' : `set local role ${identifier(input.role ?? 'plinth_app')};`;
  const limit = input.timeoutMs ? `set local statement_timeout = ${Math.ceil(input.timeoutMs)};` : '';
  const lock = input.lockMs ? `set local lock_timeout = ${Math.ceil(input.lockMs)};` : '';
  const idle = input.idleMs ? `set local idle_in_transaction_session_timeout = ${Math.ceil(input.idleMs)};` : '';
  const asynchronous = input.durable === false ? 'set local synchronous_commit = off;' : '';
  return `begin${modes};${role}${limit}${lock}${idle}${asynchronous}${contextStatements(settings).join(';')}`;
}

const BEGIN: Prepared = { name: 'plinth_begin', text: 'begin isolation level read committed', values: [] };
const BEGIN_READ_ONLY: Prepared = { name: 'plinth_begin_read_only', text: 'begin isolation level read committed, read only', values: [] };
export const COMMIT: Prepared = { name: 'plinth_commit', text: 'commit', values: [] };

/** BEGIN, role and settings. Undefined where only the text will do. */
export function beginStatements(input: TransactionInput, context: Settings): Prepared[] | undefined {
  const settings = allSettings(input, context);
  if (!settings) return undefined;
  const begin = input.readOnly ? BEGIN_READ_ONLY : BEGIN;
  return settings.length > 0 ? [begin, settingStatement(settings)] : [begin];
}

/** Role and settings as a query may set them. Undefined for a role that has to be quoted, and an isolation whose snapshot the query would take. */
function allSettings(input: TransactionInput, context: Settings): Settings | undefined {
  const role = input.role === undefined ? 'plinth_app' : input.role;
  if ((input.isolation ?? 'read committed') !== 'read committed' || (role !== null && !/^[a-z_][a-z0-9_]*$/.test(role))) return undefined;
  const settings: Settings = role === null ? [...context] : [['role', role], ...context];
  if (input.timeoutMs) settings.push(['statement_timeout', String(Math.ceil(input.timeoutMs))]);
  if (input.lockMs) settings.push(['lock_timeout', String(Math.ceil(input.lockMs))]);
  if (input.idleMs) settings.push(['idle_in_transaction_session_timeout', String(Math.ceil(input.idleMs))]);
  if (input.durable === false) settings.push(['synchronous_commit', 'off']);
  return settings;
}

const settingStatement = (settings: Settings): Prepared => ({ ...settingText(settings.map(([name]) => name)), values: settings.map(([, value]) => value) });

const texts = new Map<string, Pick<Prepared, 'name' | 'text'>>();

/** One statement for each set of settings that is used. */
function settingText(names: readonly string[]): Pick<Prepared, 'name' | 'text'> {
  const key = names.join();
  const known = texts.get(key);
  if (known) return known;
  const calls = names.map((name, index) => `pg_catalog.set_config('${name}', $${index + 1}, true)`);
  // Never true, so that it returns no row, and evaluated once.
  const text = `select where pg_catalog.num_nulls(${calls.join(', ')}) < 0`;
  const made = { name: statementName(text), text };
  texts.set(key, made);
  return made;
}

interface Corkable {
  cork(): void;
  uncork(): void;
  destroy(): void;
}

/** The socket of a connection, which the driver does not type; undefined for a driver that has none. */
export const streamOf = (client: pg.PoolClient): Corkable | undefined => (client as unknown as { connection?: { stream?: Corkable } }).connection?.stream;

/** The beginning of a transaction: it leaves with what is sent first, so that a body that sends nothing holds no transaction open on the server. */
export class Beginning {
  readonly #input: TransactionInput;
  readonly #context: Context;
  readonly #settings: Settings;
  readonly #client: pg.PoolClient;
  #sent: Promise<unknown> | undefined;

  constructor(input: TransactionInput, context: Context, settings: Settings, client: pg.PoolClient) {
    this.#input = input;
    this.#context = context;
    this.#settings = settings;
    this.#client = client;
  }

  /** Whether there is anything to roll back. */
  get sent(): boolean {
    return this.#sent !== undefined;
  }

  /**
   * Sends a statement, the first together with BEGIN, and answers with its result; with the error of BEGIN where that failed. They leave as one
   * write: a write is a system call here and wakes the server there.
   */
  before<Result>(start: () => Promise<Result>): Promise<Result> {
    const stream = streamOf(this.#client);
    stream?.cork();
    try {
      if (!this.#sent) {
        this.#sent = this.#client.query(beginText(this.#input, this.#context, this.#settings));
        // Awaited with the statement; the handler only keeps Node from calling it unhandled in between.
        this.#sent.catch(() => {});
      }
      const sent = start();
      sent.catch(() => {});
      return this.#sent.then(() => sent);
    } finally {
      stream?.uncork();
    }
  }

  /**
   * Role and context for a message that is all of its transaction: the server begins one with the first statement of a message and commits with its end, so there is no
   * BEGIN and no COMMIT to send, to read and to answer (docs/adr/0011). Where sessions begin in another isolation than read committed, the statement fails with 25001.
   * Where no statement of the message reads the context, it has the tenant only, which row security asks for.
   */
  alone(readsContext: boolean): Prepared | undefined {
    const context = readsContext ? this.#settings : this.#settings.filter(([name]) => name === TENANT_SETTING);
    const settings = this.#sent || this.#input.readOnly ? undefined : allSettings(this.#input, context);
    return settings && settingStatement([...settings, ['transaction_isolation', 'read committed']]);
  }

  /**
   * BEGIN and the context as statements to be sent ahead of others, in one message with them: the server answers once then, and reads two statements instead of seven. Undefined
   * where it was sent already, or only the text will do.
   */
  take(): Prepared[] | undefined {
    const statements = this.#sent ? undefined : beginStatements(this.#input, this.#settings);
    if (statements) this.#sent = Promise.resolve();
    return statements;
  }
}
