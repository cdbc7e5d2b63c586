/** STYLE.md as rules over one file's text. Each rule is told the path and the text and answers with line and sentence. */
import { lineAt, sqlCode, typescriptCode } from './source-text.ts';

export type Fault = { line: number; message: string };
export type Rule = { name: string; applies: (path: string) => boolean; faults: (text: string, path: string) => Fault[] };

const isGenerated = (path: string): boolean => /\.gen\.[a-z]+$/.test(path);
const isCode = (path: string): boolean => /\.(ts|tsx|mjs|sql|css)$/.test(path) && !isGenerated(path);
const isTypescript = (path: string): boolean => /\.(ts|tsx|mjs)$/.test(path) && !isGenerated(path);
/** A fixture is a program that a test runs: it is of the test, not of the module beside it. */
const isTest = (path: string): boolean => /\.(?:test|fixture)\.tsx?$/.test(path);
const inModules = (path: string): boolean => path.startsWith('packages/plinth/src/modules/') && /\.tsx?$/.test(path) && !isTest(path);
const sqlKind = (path: string): string | undefined => /\/sql\/(migrations|functions|views)\/[^/]+\.sql$/.exec(path)?.[1];

const every = (code: string, pattern: RegExp, message: (found: string) => string): Fault[] =>
  [...code.matchAll(pattern)].map((match) => ({ line: lineAt(code, match.index), message: message(match[0].trim()) }));

const longest = 500;
const fileLength: Rule = {
  name: 'file length',
  applies: isCode,
  faults: (text) => {
    const lines = text.replace(/\n$/, '').split('\n').length;
    return lines > longest ? [{ line: longest + 1, message: `${lines} lines; a file stops at ${longest}: give its second idea a file` }] : [];
  },
};

const bannedWords = ['util', 'utils', 'common', 'helper', 'helpers', 'misc', 'manager', 'stuff'];
const bannedNames: Rule = {
  name: 'banned names',
  // The file of an SQL function has the name of the function, which is for those who call it: define_common_event_type.
  applies: (path) => !isGenerated(path) && !path.includes('/sql/functions/'),
  faults: (_text, path) => {
    const word = path.split(/[/.\-_]/).find((part) => bannedWords.includes(part.toLowerCase()));
    return word ? [{ line: 1, message: `"${word}" in a path says nothing: name the idea` }] : [];
  },
};

// A class of one letter in each, so that this file does not hold what it looks for.
const machinePath = /(?<![\w.~/-])(?:\/(?:tm[p]|wor[k]|roo[t]|hom[e]|User[s])\/|C:\\User[s])[\w.-]*/g;
const absolutePaths: Rule = {
  name: 'absolute paths',
  applies: (path) => /\.(ts|tsx|mjs|sql|css|md|json|html|ya?ml|svg|txt)$/.test(path) && path !== 'package-lock.json',
  faults: (text) => every(text, machinePath, (found) => `${found} is a path of one machine`),
};

const outsideWorld: [RegExp, string][] = [
  [/\bDate\.now\s*\(|\bnew Date\(\s*\)|\bperformance\.now\s*\(/g, 'a module has no clock: take it from tx or the context'],
  [/\bMath\.random\s*\(|\brandom(?:UUID|Bytes|Int|FillSync)\b|\bgetRandomValues\b/g, 'a module has no randomness: ids and secrets come from tx or an adapter'],
  [/\bprocess\.\w+/g, 'a module has no environment: settings arrive through the context or an adapter'],
  [/(?<![.\w])fetch\s*\(|\bWebSocket\s*\(/g, 'a module has no network: that is an adapter'],
  [/(?<![.\w])(?:setTimeout|setInterval)\s*\(/g, 'a module has no timers: the worker and the context own time'],
];
const outsideImports =
  /from\s*['"](?:node:(?:fs|net|http|https|http2|dns|tls|os|child_process|worker_threads|timers|process|perf_hooks)(?:\/[\w]+)?|pg|ioredis)['"]/g;
const noOutsideWorld: Rule = {
  name: 'clock, random, env and network in modules',
  applies: inModules,
  faults: (text) => {
    const code = typescriptCode(text);
    const world = outsideWorld.flatMap(([pattern, message]) => every(code, pattern, (found) => `${found}: ${message}`));
    return [...world, ...every(text, outsideImports, (found) => `${found}: files, sockets and drivers belong to adapters`)];
  },
};

const forbiddenSyntax: [RegExp, string][] = [
  [/(?<=[:<,|&]\s*|\bas\s+)any\b(?!\s*[(:.])/g, 'any switches the checker off: parse, or use unknown'],
  [/^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w+/gm, 'enum is not erasable: use a union of literals'],
  [/^\s*(?:export\s+)?(?:declare\s+)?namespace\s+\w+/gm, 'namespace is not erasable: a file is a namespace'],
  [/\bz\.uuid\(/g, 'takes only UUIDs with a version and variant of RFC 9562, and trace ids, ids of an application and what PostgreSQL holds are any: z.guid()'],
  [/(?<=[\w)\]])!(?=[.;,)\]\s[](?!=))(?!=)/g, '! overrules the checker: narrow the value or throw'],
];
const erasableSyntax: Rule = {
  name: 'any, !, enum, namespace',
  applies: (path) => isTypescript(path) && !path.endsWith('.mjs'),
  faults: (text) => {
    const code = typescriptCode(text);
    return forbiddenSyntax.flatMap(([pattern, message]) => every(code, pattern, (found) => `${found}: ${message}`));
  },
};

const silenced: Rule = {
  name: 'silenced checkers give their reason',
  applies: isTypescript,
  faults: (text) =>
    [
      ...every(text, /(?:biome-ignor[e]|oxlint-disabl[e](?:-next-line|-line)?)[^\n]*/g, (found) =>
        /(?::|--)\s*\S+(?:\s+\S+){2,}/.test(found) ? '' : `${found}: say why`,
      ),
      ...every(text, /@ts-(?:expect-erro[r]|nochec[k]|ignor[e])[^\n]*/g, (found) =>
        /^@ts-expect-erro[r]\s+\S+(?:\s+\S+){2,}/.test(found) ? '' : `${found}: say why`,
      ),
    ].filter((fault) => fault.message !== ''),
};

const leftovers: Rule = {
  name: 'leftovers',
  applies: isCode,
  faults: (text) => every(text, /\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b/g, (found) => `${found}: do it, or make it an issue`),
};

const sleepingTests: Rule = {
  name: 'tests wait for signals',
  applies: (path) => /\.test\.tsx?$/.test(path),
  faults: (text) =>
    every(
      typescriptCode(text),
      /(?<![.\w])(?:sleep|delay|setTimeout)\s*\(/g,
      (found) => `${found} waits by time: wait for a signal or poll a condition with a bound`,
    ),
};

const migrationFiles: Rule = {
  name: 'migrations have their header',
  applies: (path) => sqlKind(path) === 'migrations',
  faults: (text, path) => {
    const faults: Fault[] = [];
    if (!/\/\d{4}_[a-z]+(?:_[a-z0-9]+)+\.sql$/.test(path)) faults.push({ line: 1, message: 'name a migration NNNN_verb_noun.sql' });
    const header = /^(?:--[^\n]*\n)*/.exec(text)?.[0] ?? '';
    for (const word of ['why', 'locks']) {
      if (!new RegExp(`^-- ${word}: \\S+`, 'm').test(header)) faults.push({ line: 1, message: `begin with "-- ${word}: ..."` });
    }
    if (!/^-- breaking: (yes|no)\b/m.test(header)) faults.push({ line: 1, message: 'begin with "-- breaking: yes" or "-- breaking: no"' });
    return faults;
  },
};

const created = {
  functions: /create\s+or\s+replace\s+(?:function|procedure)\s+([a-z_]+)\.([a-z0-9_]+)/g,
  views: /create\s+(?:or\s+replace\s+)?view\s+([a-z_]+)\.([a-z0-9_]+)/g,
};
const repeatableFiles: Rule = {
  name: 'one function or view a file',
  applies: (path) => ['functions', 'views'].includes(sqlKind(path) ?? ''),
  faults: (text, path) => {
    const kind = sqlKind(path) === 'views' ? 'views' : 'functions';
    const names = [...new Set([...sqlCode(text).matchAll(created[kind])].map((match) => match[2] ?? ''))];
    const expected = path.slice(path.lastIndexOf('/') + 1, -'.sql'.length);
    const faults: Fault[] = [];
    if (names.length !== 1 || names[0] !== expected) {
      faults.push({ line: 1, message: `a file of ${kind} creates exactly the one it is named after (found ${names.join(', ') || 'none'})` });
    }
    const word = kind === 'views' ? 'view' : '(?:function|procedure)';
    if (!new RegExp(`comment on ${word} `).test(sqlCode(text))) faults.push({ line: 1, message: 'say what it is for with comment on' });
    if (kind === 'views' && !/security_invoker\s*=\s*(?:true|on)/.test(text)) faults.push({ line: 1, message: 'a view reads with (security_invoker = true)' });
    return faults;
  },
};

const upperWords = /\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|WHERE|BEGIN|END|RETURNS?|LANGUAGE|TABLE|INDEX|GRANT)\b/g;
const sqlWords: [RegExp, string][] = [
  [upperWords, 'SQL keywords are lower case'],
  // A domain may have a length of its type, which costs less than a check (docs/adr/0016).
  [/(?<!\bcreate domain \S+ as )\bvarchar\b|\bcharacter varying\b|\b(?:big|small)?serial\b/g, 'use text, and identity or uuid'],
  [/\bcreate\s+type\s+\S+\s+as\s+enum\b/g, 'text with a check, not an enum: values must be removable'],
  [/\bcreate\s+policy\b|\brow level security\b/g, 'policies are written by the kernel from the card'],
];
/** Columns; a variable of a function may hold a local time while it computes. */
const zoneless = /\btimestamp\b(?! with)(?!tz)(?=\s)/g;
/** Whoever may call a definer function passes row security: it must find out by itself for whom. */
const ASKS_WHO_ACTS = /\bplinth_kernel\.(?:acting_tenant|require_worker|is_worker|current_context|require_tenant)\(/;
/** Variables of types that grammar does not take from pg_catalog: without a search_path the function takes them from its caller's, and keeps them for the session. */
const CALLERS_TYPES = /^ +_\w+ (?:constant )?(?:text|uuid|jsonb?|timestamptz|date|bytea|name|oid|reg[a-z]+|xid8|record)\b/gm;
const sqlStyle: Rule = {
  name: 'SQL style',
  applies: (path) => sqlKind(path) !== undefined,
  faults: (text, path) => {
    const code = sqlCode(text);
    const kernel = path.includes('/kernel/sql/');
    const words = kernel ? sqlWords.slice(0, 3) : sqlWords;
    const faults = words.flatMap(([pattern, message]) => every(code, pattern, (found) => `${found}: ${message}`));
    if (sqlKind(path) === 'migrations') faults.push(...every(code, zoneless, (found) => `${found}: use timestamptz`));
    const definer = /\bsecurity\s+definer\b/.exec(code);
    if (definer && !kernel && !ASKS_WHO_ACTS.test(code))
      faults.push({ line: lineAt(code, definer.index), message: 'a function with definer rights asks the kernel who acts, or belongs to the kernel' });
    if (definer && !/set\s+search_path\s*(?:=|to)\s*''/.test(text)) {
      faults.push({ line: lineAt(code, definer.index), message: "a definer function says set search_path = ''" });
    }
    if (sqlKind(path) === 'functions' && /language plpgsql/.test(code) && !/search_path/.test(text))
      faults.push(...every(code, CALLERS_TYPES, (found) => `${found}: without a search_path, name the type in pg_catalog`));
    return faults;
  },
};

/** Every rule, in the order of STYLE.md. */
const rules: readonly Rule[] = [
  fileLength,
  bannedNames,
  absolutePaths,
  noOutsideWorld,
  erasableSyntax,
  silenced,
  leftovers,
  sleepingTests,
  migrationFiles,
  repeatableFiles,
  sqlStyle,
];

/** The faults of one file under every rule that applies, as `path:line: sentence`. */
export function tidyFaults(path: string, text: string): string[] {
  return rules.filter((rule) => rule.applies(path)).flatMap((rule) => rule.faults(text, path).map(({ line, message }) => `${path}:${line}: ${message}`));
}
