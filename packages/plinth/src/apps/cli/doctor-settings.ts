/** What `plinth doctor` finds in how a database and the role were set up by others: settings, encoding, owners. */
import type pg from 'pg';
import { type Finding, fault, ok, warning } from './doctor-finding.ts';

interface Wanted {
  wanted: RegExp;
  wayOut: string;
  /** Something goes on without it. */
  bearable?: boolean;
}

const reset = (name: string, why: string): string => `Reset ${name} of the database and of the role: ${why}`;

/** Settings under which SQL means something else than it says. */
const SETTINGS: Readonly<Record<string, Wanted>> = {
  server_encoding: {
    wanted: /^UTF8$/,
    wayOut: `Move to a database that was made with encoding 'UTF8' template template0: this one cannot hold every text.`,
  },
  standard_conforming_strings: {
    wanted: /^on$/,
    wayOut: reset(
      'standard_conforming_strings',
      'Plinth sets it for its own connections; for programs that call its SQL functions patterns with backslashes check something else.',
    ),
  },
  array_nulls: { wanted: /^on$/, wayOut: reset('array_nulls', 'with it what is written is refused.') },
  DateStyle: {
    wanted: /^ISO/,
    wayOut: reset('DateStyle', 'Plinth sets it for its own connections; over a pool of yours that is given to createPlinth no time is read.'),
    bearable: true,
  },
  IntervalStyle: {
    wanted: /^postgres$/,
    wayOut: reset('IntervalStyle', 'with it intervals, such as how long a kind is kept, are shown empty.'),
    bearable: true,
  },
};

export async function settingFindings(client: pg.Client): Promise<Finding[]> {
  const check = 'settings';
  const { rows } = await client.query<{ name: string; setting: string }>('select name, setting from pg_catalog.pg_settings where name = any ($1)', [
    Object.keys(SETTINGS),
  ]);
  const found = rows.flatMap(({ name, setting }) => {
    const one = SETTINGS[name];
    return one && !one.wanted.test(setting) ? [(one.bearable ? warning : fault)(check, `${name} ${setting}`, one.wayOut)] : [];
  });
  return found.length > 0 ? found : [ok(check, 'nothing that changes what SQL means')];
}

const STRANGE_OWNERS = `select distinct pg_catalog.pg_get_userbyid(p.proowner) as owner from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = any ($1) and p.prosecdef and p.proowner <> pg_catalog.to_regrole('plinth_owner') order by 1 limit 5`;

/** Functions that act with the rights of their owner, and whose owner is not the one that row security was written for: restored without owners. */
export async function ownerFindings(client: pg.Client, modules: readonly string[]): Promise<Finding[]> {
  const check = 'owner';
  const { rows } = await client.query<{ owner: string }>(STRANGE_OWNERS, [['plinth', 'plinth_kernel', ...modules.map((name) => `plinth_${name}`)]]);
  if (rows.length === 0) return [ok(check, 'functions that act for their owner act for plinth_owner')];
  return [
    fault(
      check,
      `functions that act for their owner act for ${rows.map(({ owner }) => owner).join(', ')}`,
      'A dump was restored without its owners: restore it with them (no --no-owner), after the roles of Plinth were made.',
    ),
  ];
}
