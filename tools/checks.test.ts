/** The checks catch what they are there to catch: each fault is planted, and its clean twin passes. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checks } from './check.ts';
import { verdict } from './checks/check.ts';
import { dependencies, documented } from './checks/dependencies.ts';
import { anchorsOf, links, linksOf } from './checks/links.ts';
import { biome, oxlint } from './checks/programs.ts';
import { importFault, importsOf, publicOwners, readUses, rooms, schemaFaults } from './checks/rooms.ts';
import { sqlCode, typescriptCode } from './checks/source-text.ts';
import { lostExportFaults, lostSqlFaults, moduleShapeFaults } from './checks/tidy.ts';
import { tidyFaults } from './checks/tidy-rules.ts';
import { read, repositoryFiles, root } from './repo.ts';

const folders: string[] = [];

/** A folder of its own with these files. */
function repository(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-checks-'));
  folders.push(folder);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const audit = 'packages/plinth/src/modules/audit';
const uses = new Map([
  ['audit', []],
  ['webhooks', ['events']],
  ['events', []],
]);

describe('the files of the repository', () => {
  test('are those that the .gitignore files let in', () => {
    const folder = repository({
      '.gitignore': '# built\ndist/\n*.log\n/top/gone.ts\n',
      'a.ts': '',
      'dist/b.ts': '',
      'c.log': '',
      'top/gone.ts': '',
      'top/kept.ts': '',
      'node_modules/x/index.js': '',
      'inner/.gitignore': 'made/\n',
      'inner/made/d.ts': '',
      'made/e.ts': '',
    });
    expect(repositoryFiles(folder)).toEqual(['.gitignore', 'a.ts', 'inner/.gitignore', 'made/e.ts', 'top/kept.ts']);
  });
});

describe('every check', () => {
  test.each(checks.map((check) => [check.name, check] as const))('%s fails when it looked at nothing', async (name, check) => {
    const empty = repository({
      'notes.log': 'nothing to see',
      'biome.json': read('biome.json'),
      'knip.json': read('knip.json'),
      'package.json': '{"name":"empty"}',
    });
    expect(verdict(check, await check.run(empty)).join('\n')).toContain(`${name} looked at`);
  });
});

describe('rooms', () => {
  test.each([
    ['packages/plinth/src/kernel/a.ts', '#modules/audit', 'a kernel may not import the module file'],
    ['packages/plinth/src/kernel/a.ts', '../modules/audit/audit.ts', 'a kernel may not import the module file'],
    [`${audit}/a.ts`, '#adapters/http/egress.ts', 'a module may not import the adapter file'],
    [`${audit}/a.ts`, '#apps/server/index.ts', 'a module may not import the app file'],
    [`${audit}/a.ts`, '#registry', 'a module may not import the registry file'],
    [`${audit}/a.ts`, '../events/publish.ts', 'reach events through #modules/events'],
    [`${audit}/a.ts`, '#modules/events', 'audit does not say on its card that it uses events'],
    ['packages/plinth/src/adapters/a.ts', '#apps/cli/main.ts', 'a adapter may not import the app file'],
    ['packages/plinth/src/apps/server/a.ts', '../../modules/audit/audit.ts', 'reach audit through #modules/audit'],
  ])('%s may not import %s', (from, specifier, message) => {
    expect(importFault(from, specifier, uses)).toContain(message);
  });

  test.each([
    ['packages/plinth/src/modules/webhooks/a.ts', '#modules/events'],
    [`${audit}/a.ts`, './audit.ts'],
    [`${audit}/a.ts`, '#kernel/module.ts'],
    [`${audit}/a.test.ts`, '#testing/database.ts'],
    ['packages/plinth/src/registry.gen.ts', './modules/audit/module.ts'],
    ['packages/plinth/src/apps/server/a.ts', '#modules/audit'],
    ['packages/plinth/src/kernel/a.ts', 'pg'],
  ])('%s may import %s', (from, specifier) => {
    expect(importFault(from, specifier, uses)).toBeUndefined();
  });

  test('code for browsers takes types from anywhere and values from nowhere', () => {
    const client = 'packages/plinth/src/client/index.ts';
    expect(importFault(client, '#registry', uses, true)).toBeUndefined();
    expect(importFault(client, '#kernel/rpc.ts', uses)).toContain('import type');
    expect(importFault(client, './session.ts', uses)).toBeUndefined();
    expect(importsOf(`import type { A } from './a.ts';\nimport { b } from './b.ts';\n`).map(({ typeOnly }) => typeOnly)).toEqual([true, false]);
  });

  test('finds every form of import', () => {
    const text = `import a from 'one';\nimport {\n  b,\n} from 'two';\nexport * from 'three';\nimport 'four';\nconst c = await import('five');\nimport type { D } from 'six';\n`;
    expect(
      importsOf(text)
        .map(({ specifier }) => specifier)
        .sort(),
    ).toEqual(['five', 'four', 'one', 'six', 'three', 'two']);
  });

  test('SQL may name its own schema, the kernel and what it uses, and nothing else', () => {
    expect(schemaFaults('webhooks', 'select plinth_kernel.tenant_id() from plinth_webhooks.deliveries, plinth_events.entries, plinth.events', uses)).toEqual(
      [],
    );
    expect(schemaFaults('audit', 'select 1\nfrom plinth_events.entries', uses)).toEqual([
      { line: 2, message: expect.stringContaining('audit does not say on its card that it uses events') },
    ]);
    expect(schemaFaults('kernel', 'select 1 from plinth_audit.entries', uses)[0]?.message).toContain('the kernel names no module');
    expect(schemaFaults('audit', sqlCode("-- plinth_events.entries\nselect 'plinth_events.entries'"), uses)).toEqual([]);
  });

  test('public functions and views belong to the module whose file creates them', () => {
    const files = ['packages/plinth/src/modules/events/sql/functions/publish_event.sql', 'packages/plinth/src/modules/events/sql/functions/inner.sql'];
    const owners = publicOwners(files, (path) => `create or replace function ${path.includes('inner') ? 'plinth_events.inner' : 'plinth.publish_event'}()`);
    expect([...owners]).toEqual([['publish_event', 'events']]);
    expect(schemaFaults('webhooks', 'select plinth.publish_event()', uses, owners)).toEqual([]);
    expect(schemaFaults('audit', 'select plinth.publish_event(), plinth.trace()', uses, owners)).toHaveLength(1);
  });

  test('a file may read what it says it reads only when it is installed', async () => {
    const view = (head: string) => ({
      [`${audit}/module.ts`]: `export default { name: 'audit' };\n`,
      [`${audit}/sql/functions/a.sql`]: `${head}create or replace function plinth_audit.a() ... execute 'x'; select plinth_events.x();\n`,
      'packages/plinth/src/modules/events/module.ts': `export default { name: 'events' };\n`,
    });
    expect((await rooms.run(repository(view('')))).faults).toHaveLength(1);
    expect((await rooms.run(repository(view('-- when installed: events\n')))).faults).toEqual([]);
  });

  test('SQL inside TypeScript counts, comments do not, and imports inside templates are text', () => {
    const text = "// plinth_events.a\nawait tx.query(`select * from plinth_events.entries`);\nconst t = `\nimport x from './gone.ts';\n`;\n";
    expect(schemaFaults('audit', typescriptCode(text, 'texts'), uses)).toHaveLength(1);
    expect(importsOf(text)).toEqual([]);
  });

  test('a card that names another module than its folder, or uses one that is not there, is a fault', async () => {
    const folder = repository({ [`${audit}/module.ts`]: `export default { name: 'other', uses: ['nowhere'] };\n` });
    const { faults } = await readUses(folder);
    expect(faults.join('\n')).toContain("the card's name is not the folder's");
    expect(faults.join('\n')).toContain('uses nowhere, which is no module here');
  });

  test('the check as a whole finds a planted reach into another module', async () => {
    const folder = repository({
      [`${audit}/module.ts`]: `export default { name: 'audit' };\n`,
      [`${audit}/a.ts`]: `import { x } from '#modules/events';\nexport const y = x;\n`,
      [`${audit}/sql/views/a.sql`]: 'select plinth_events.x();\n',
      'packages/plinth/src/modules/events/module.ts': `export default { name: 'events' };\n`,
    });
    const { faults } = await rooms.run(folder);
    expect(faults.filter((fault) => fault.includes('does not say on its card that it uses events'))).toHaveLength(2);
  });
});

describe('tidy', () => {
  const kernelFile = 'packages/plinth/src/kernel/a.ts';
  test.each([
    ['a file over 500 lines', kernelFile, 'const a = 1;\n'.repeat(501), 'a file stops at 500'],
    ['a name that says nothing', 'tools/date-utils.ts', 'export {};\n', '"utils" in a path says nothing'],
    ['a path of one machine', kernelFile, `const a = '/${'home'}/ann/data';\n`, 'is a path of one machine'],
    ['a clock in a module', `${audit}/a.ts`, 'const at = Date.now();\n', 'a module has no clock'],
    ['a date of today in a module', `${audit}/a.ts`, 'const at = new Date();\n', 'a module has no clock'],
    ['randomness in a module', `${audit}/a.ts`, `import { randomUUID } from 'node:crypto';\n`, 'a module has no randomness'],
    ['the environment in a module', `${audit}/a.ts`, 'const a = process.env.HOME;\n', 'a module has no environment'],
    ['the network in a module', `${audit}/a.ts`, `await fetch('https://example.org');\n`, 'a module has no network'],
    ['a timer in a module', `${audit}/a.ts`, 'setTimeout(run, 10);\n', 'a module has no timers'],
    ['files in a module', `${audit}/a.ts`, `import { readFileSync } from 'node:fs';\n`, 'belong to adapters'],
    ['a driver in a module', `${audit}/a.ts`, `import pg from 'pg';\n`, 'belong to adapters'],
    ['any', kernelFile, 'const a: any = 1;\n', 'any switches the checker off'],
    ['as any', kernelFile, 'const a = b as any;\n', 'any switches the checker off'],
    ['an enum', kernelFile, 'export enum A { B }\n', 'enum is not erasable'],
    ['a namespace', kernelFile, 'export namespace A {}\n', 'namespace is not erasable'],
    ['an exclamation mark', kernelFile, 'const a = b!.c;\n', '! overrules the checker'],
    ['an exclamation mark after an index', kernelFile, 'const a = b[0]!;\n', '! overrules the checker'],
    ['a silenced checker without a reason', kernelFile, `// @ts-expect-${'error'}\n`, 'say why'],
    ['unfinished work', kernelFile, `// ${'TO'}DO later\n`, 'do it, or make it an issue'],
    ['a test that sleeps', 'packages/plinth/src/kernel/a.test.ts', 'await sleep(100);\n', 'waits by time'],
    ['a migration without a header', `${audit}/sql/migrations/0001_create_a.sql`, 'create table plinth_audit.a ();\n', 'begin with "-- why: ..."'],
    ['a migration that hides whether it breaks', `${audit}/sql/migrations/0001_create_a.sql`, '-- why: a\n-- locks: none\n', '"-- breaking: yes"'],
    ['a migration with a vague name', `${audit}/sql/migrations/1_a.sql`, '-- why: a\n-- locks: none\n-- breaking: no\n', 'NNNN_verb_noun.sql'],
    [
      'two functions in a file',
      `${audit}/sql/functions/a.sql`,
      'create or replace function plinth.a() ...; create or replace function plinth.b() ...; comment on function plinth.a() is 1',
      'exactly the one it is named after',
    ],
    [
      'a function in a file of another name',
      `${audit}/sql/functions/b.sql`,
      'create or replace function plinth.a() ...; comment on function plinth.a() is 1',
      'exactly the one it is named after',
    ],
    ['a function without a comment', `${audit}/sql/functions/a.sql`, 'create or replace function plinth.a() ...', 'comment on'],
    [
      'a view with its owner’s rights',
      `${audit}/sql/views/a.sql`,
      "create or replace view plinth.a as select 1; comment on view plinth.a is 'a'",
      'security_invoker',
    ],
    [
      "a variable whose type is the caller's to say",
      'packages/plinth/src/modules/a/sql/functions/a.sql',
      "create or replace function plinth.a() returns void language plpgsql as $$\ndeclare\n  _id uuid;\nbegin\nend\n$$; comment on function plinth.a() is 'a'",
      'without a search_path, name the type in pg_catalog',
    ],
    [
      'a definer function in a module',
      `${audit}/sql/functions/a.sql`,
      "create or replace function plinth.a() security definer ...; comment on function plinth.a() is 'a'",
      'a function with definer rights asks the kernel who acts, or belongs to the kernel',
    ],
    ['a policy by hand', `${audit}/sql/migrations/0001_create_a.sql`, 'create policy a on b', 'policies are written by the kernel'],
    ['SQL that shouts', `${audit}/sql/functions/a.sql`, 'SELECT 1', 'lower case'],
    ['varchar', `${audit}/sql/migrations/0001_create_a.sql`, 'a varchar(10)', 'use text'],
    ['varchar beside a domain', `${audit}/sql/migrations/0001_create_a.sql`, 'create domain a.b as varchar(10); c varchar(10)', 'use text'],
    ['timestamp without a zone', `${audit}/sql/migrations/0001_create_a.sql`, 'at timestamp not null', 'use timestamptz'],
  ])('%s is a fault', (_name, path, text, message) => {
    expect(tidyFaults(path, text).join('\n')).toContain(message);
  });

  test.each([
    ['words in comments and strings', `${audit}/a.ts`, `// Date.now() and any! are mentioned\nconst a = 'process.env.X and fetch(x)';\n`],
    ['a given moment', `${audit}/a.ts`, 'const at = new Date(row.created_at);\nconst b = tx.now();\n'],
    ['not and not-equal', kernelFile, 'if (!a && b !== c && d != e) f(!g);\nconst h = [!a];\n'],
    ['a regular expression with quotes', kernelFile, 'const a = /["\'`]any/;\nconst b: string = c;\n'],
    ['a template with code', `${audit}/a.ts`, 'const a = `${b.map((c) => `${c}!`).join()} Date.now()`;\n'],
    ['a silenced checker with its reason', kernelFile, `// @ts-expect-${'error'} the driver types lack this option\n`],
    [
      'a whole migration',
      `${audit}/sql/migrations/0001_create_a.sql`,
      '-- why: a\n-- locks: none\n-- breaking: no\ncreate table plinth_audit.a (at timestamptz);\n',
    ],
    [
      'a whole view',
      `${audit}/sql/views/a.sql`,
      "create or replace view plinth.a with (security_invoker = true) as select 1;\ncomment on view plinth.a is 'A.';\n",
    ],
    ['a clock outside modules', kernelFile, 'const at = Date.now();\n'],
  ])('%s is fine', (_name, path, text) => {
    expect(tidyFaults(path, text)).toEqual([]);
  });

  test('a module without its fixed files, or with a gap in its migrations, is a fault', () => {
    const faults = moduleShapeFaults('audit', [`${audit}/module.ts`, `${audit}/sql/migrations/0002_add_column.sql`]).join('\n');
    for (const missing of [
      'index.ts is missing',
      'errors.ts is missing',
      'api.ts is missing',
      'README.md is missing',
      '0001 is expected',
      'no test beside the code',
    ]) {
      expect(faults).toContain(missing);
    }
  });

  test('SQL that nothing applies is a fault', () => {
    expect(lostSqlFaults([`${audit}/sql/old/a.sql`, `${audit}/sql/functions/a.sql`, 'docs/sql/api.lock.sql'])).toHaveLength(1);
  });

  test('a door of a package that leads nowhere is a fault', () => {
    const manifest = '{"exports":{".":"./src/index.ts","./gone":"./src/gone.ts"},"bin":{"a":"./bin/a.mjs"}}';
    expect(lostExportFaults('packages/a/package.json', manifest, ['packages/a/src/index.ts', 'packages/a/bin/a.mjs'])).toEqual([
      'packages/a/package.json: ./gone leads to ./src/gone.ts, which is no file',
    ]);
  });

  test('blanking keeps every line where it was', () => {
    const text = read('tools/checks/source-text.ts');
    expect(typescriptCode(text).split('\n')).toHaveLength(text.split('\n').length);
    expect(sqlCode("a -- 'b\n'c\nd' e")).toBe("a      \n' \n ' e");
  });
});

describe('links', () => {
  test('dead links, dead anchors, dead paths and pages that nobody links to are faults', () => {
    const folder = repository({
      'README.md': '# A\n[b](docs/b.md) [c](docs/none.md) [d](docs/b.md#no-such) [e](#a) `tools/none.ts`\n',
      'docs/b.md': '# B\n\n## The part\n[back](../README.md#a)\n',
      'docs/lonely.md': '# L\n',
    });
    const outcome = links.run(folder);
    const faults = (outcome as { faults: string[] }).faults.join('\n');
    expect(faults).toContain('docs/none.md leads nowhere');
    expect(faults).toContain('docs/b.md#no-such: the page has no such heading');
    expect(faults).toContain('tools/none.ts does not exist');
    expect(faults).toContain('docs/lonely.md: no page links here');
    expect((outcome as { faults: string[] }).faults).toHaveLength(4);
  });

  test('anchors are made as GitHub makes them, and code is no link', () => {
    expect([...anchorsOf('# One: two\n## `a_b` & c\n## Same\n## Same\n```\n# no\n```\n')]).toEqual(['one-two', 'a_b--c', 'same', 'same-1']);
    expect(linksOf('`[a](b.md)`\n```\n[c](d.md)\n```\n[e](f.md#g) [h](https://x.org)')).toEqual([{ target: 'f.md', anchor: 'g', line: 5 }]);
  });
});

describe('dependencies', () => {
  test('a package without a line, a line without a package, and a range are faults', () => {
    const folder = repository({
      'package.json': '{"name":"a","dependencies":{"left":"1.0.0","mid":"^2.0.0"}}',
      'docs/dependencies.md': '| `mid` | x | y | MIT |\n| `gone` | x | y | MIT |\n',
    });
    const { faults } = dependencies.run(folder) as { faults: string[] };
    expect(faults.join('\n')).toContain('no line for left');
    expect(faults.join('\n')).toContain('gone is in no package.json');
    expect(faults.join('\n')).toContain('mid is not pinned');
    expect(documented('| `a` | b | c | d |')).toEqual([{ name: 'a', cells: ['b', 'c', 'd'] }]);
  });

  test('docs/dependencies.md and the package.json files agree', () => {
    expect((dependencies.run(root) as { faults: string[] }).faults).toEqual([]);
  });
});

describe('programs', () => {
  const configuration = { '.gitignore': 'node_modules/\n', 'biome.json': read('biome.json'), '.oxlintrc.json': read('.oxlintrc.json') };

  test('biome finds a function over 60 lines, a default export and a wrong room', async () => {
    const long = `export function long(): void {\n${'  console.log(1);\n'.repeat(61)}}\n`;
    const folder = repository({
      ...configuration,
      'packages/plinth/src/apps/a.ts': long,
      'packages/plinth/src/apps/b.ts': 'const b = 1;\nexport default b;\n',
      'packages/plinth/src/kernel/c.ts': `import { audit } from '#modules/audit';\n\nexport const c = audit;\n`,
    });
    const { faults } = await biome.run(folder);
    expect(faults.join('\n')).toContain('noExcessiveLinesPerFunction');
    expect(faults.join('\n')).toContain('noDefaultExport');
    expect(faults.join('\n')).toContain('noRestrictedImports');
  });

  test('oxlint finds an image without a text', async () => {
    const folder = repository({ ...configuration, 'apps/console/src/a.tsx': `export const A = () => <img src="a.png" />;\n` });
    expect((await oxlint.run(folder)).faults.join('\n')).toContain('alt-text');
  });
});
