import type { Schema } from './docs-sample.ts';
import { sampleOf } from './docs-sample.ts';
import type { Html } from './html.ts';
import { html } from './html.ts';

/** The pages under /docs: plain HTML made once from openapi.json, no script at all, one style sheet from the same origin. */

interface Parameter {
  $ref?: string;
  name?: string;
  in?: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  security?: Record<string, string[]>[];
  servers?: { url: string }[];
  parameters?: Parameter[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: Schema }> }>;
}

export interface Document {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
}

const DEEPEST = 6;

/** A type in few words: `text (uuid)`, `list of numbers`, `"a" | "b"`. */
function typeWords(schema: Schema, depth = 0): string {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return [...new Set(options.map((one) => typeWords(one, depth + 1)))].join(' | ');
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? ['any']);
  return types
    .map((type) =>
      type === 'array' && depth < DEEPEST
        ? `list of ${typeWords(schema.items ?? {}, depth + 1)}`
        : type === 'string' && schema.format
          ? `string (${schema.format})`
          : type,
    )
    .join(' | ');
}

/** `1 to 200`, `at most 1,000`, with what is counted behind it. */
function range(least: number | undefined, most: number | undefined, counted = ''): string {
  const [from, to] = [least?.toLocaleString('en'), most?.toLocaleString('en')];
  if (from !== undefined && to !== undefined) return `${from} to ${to}${counted}`;
  if (to !== undefined) return `at most ${to}${counted}`;
  return from === undefined ? '' : `at least ${from}${counted}`;
}

const limits = ({ default: usual, minimum = -Infinity, maximum = Infinity, minLength, maxLength }: Schema): string =>
  [
    usual === undefined ? '' : `default ${JSON.stringify(usual)}`,
    // Bounds of what a number can be at all say nothing.
    range(minimum < -1e9 ? undefined : minimum, maximum > 1e15 ? undefined : maximum),
    range(minLength, maxLength, ' characters'),
  ]
    .filter(Boolean)
    .join(', ');

const fieldRow = (name: string, required: boolean, schema: Schema, about = schema.description): Html => html`
<tr><th scope="row"><code>${name}</code>${required ? html` <b class="req">required</b>` : ''}</th><td><code>${typeWords(schema)}</code></td><td>${[about, limits(schema)].filter(Boolean).join('; ')}</td></tr>`;

/** Fields of an object, with those of objects in it under dotted names. */
function fieldRows(schema: Schema, before = '', depth = 0): Html[] {
  const inner = schema.items && schema.type === 'array' ? schema.items : (schema.anyOf?.find((one) => one.properties) ?? schema);
  return Object.entries(inner.properties ?? {}).flatMap(([name, field]) => {
    const row = fieldRow(before + name, inner.required?.includes(name) ?? false, field);
    const nested = field.type === 'array' ? field.items : (field.anyOf?.find((one) => one.properties) ?? field);
    return nested?.properties && depth < DEEPEST ? [row, ...fieldRows(nested, `${before}${name}${field.type === 'array' ? '[].' : '.'}`, depth + 1)] : [row];
  });
}

const table = (caption: string, rows: readonly Html[]): Html =>
  rows.length === 0
    ? html``
    : html`<table><caption>${caption}</caption><thead><tr><th scope="col">name</th><th scope="col">type</th><th scope="col">meaning</th></tr></thead><tbody>${rows}</tbody></table>`;

const CURL: Record<string, string> = { get: '', head: '-I ' };
const IDEMPOTENCY_KEY = '#/components/parameters/IdempotencyKey';

/** The address with something in the place of each parameter that must be there. */
function addressLike(path: string, operation: Operation): string {
  const needed = (operation.parameters ?? []).filter((one) => one.required && one.name);
  const text = (one: Parameter): string =>
    encodeURIComponent(String(one.schema?.type === 'array' ? sampleOf(one.schema.items ?? {}) : sampleOf(one.schema ?? {})));
  const filled = needed.reduce((address, one) => address.replace(`{${one.name}}`, text(one)), path);
  const query = needed.filter((one) => one.in === 'query').map((one) => `${one.name}=${text(one)}`);
  return `${operation.servers ? '' : '/api/v1'}${filled}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

function example(method: string, path: string, operation: Operation): Html {
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const lines = [
    `curl ${CURL[method] ?? `-X ${method.toUpperCase()} `}'http://127.0.0.1:4400${addressLike(path, operation)}'`,
    ...(operation.security?.length === 0 ? [] : ["-H 'Authorization: Bearer plk_...'"]),
    ...(operation.parameters?.some((one) => one.$ref === IDEMPOTENCY_KEY) ? ["-H 'Idempotency-Key: a-uuid-of-yours'"] : []),
    ...(body ? ["-H 'Content-Type: application/json'", `-d '${JSON.stringify(sampleOf(body))}'`] : []),
  ];
  return html`<pre tabindex="0"><code>${lines.join(' \\\n  ')}</code></pre>`;
}

/** Whose credential it takes. */
function permissionLine({ security }: Operation): Html {
  const [first] = security ?? [];
  if (!first) return html`<p class="asks">No credential.</p>`;
  const roles = Object.values(first).flat();
  return roles.length === 0
    ? html`<p class="asks">Any credential.</p>`
    : html`<p class="asks">Permission ${roles.map((role) => html`<code>${role}</code>`)}</p>`;
}

function operationBlock(method: string, path: string, operation: Operation): Html {
  // Headers of one address only; those of all are told at the beginning.
  const parameters = (operation.parameters ?? []).filter((one) => one.name);
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const good = Object.entries(operation.responses ?? {}).filter(([status]) => /^[23]/.test(status));
  const answer = Object.values(good[0]?.[1].content ?? {})[0]?.schema;
  const id = operation.operationId ?? `${method}${path}`;
  return html`
<article id="${id}">
<h3><a href="#${id}"><span class="method">${method.toUpperCase()}</span> <code>${path}</code></a></h3>
<p>${operation.summary ?? ''}${operation.description ? html`. ${operation.description}` : ''}</p>
${permissionLine(operation)}
<details><summary>Parameters, answer and an example</summary>
${table(
  'Parameters',
  parameters.map((one) => fieldRow(one.name ?? '', one.required ?? false, one.schema ?? {}, one.description ?? one.schema?.description)),
)}
${body ? table('Body', fieldRows(body)) : ''}
${answer ? table('Answer', fieldRows(answer)) : ''}
${good.length > 1 || good[0]?.[0] !== '200' ? html`<ul>${good.map(([status, { description }]) => html`<li><code>${status}</code> ${description ?? ''}</li>`)}</ul>` : ''}
${example(method, path, operation)}
</details>
</article>`;
}

export const page = (title: string, body: Html): string =>
  html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${title}</title><link rel="stylesheet" href="/docs/style.css"><link rel="icon" href="data:,"></head>
<body><a class="skip" href="#main">Skip to content</a>${body}</body></html>`.text;

const INTRODUCTION = html`
<section id="start"><h2>Before the first call</h2>
<dl>
<dt>Who you are</dt><dd><code>Authorization: Bearer</code> with an API key (<code>plk_...</code>) or a JWT. An operator key belongs to no tenant: it names one in <code>X-Plinth-Tenant</code> and says why in <code>X-Plinth-Reason</code>; both are recorded in the audit log of that tenant.</dd>
<dt>One story</dt><dd>Every answer carries <code>X-Correlation-Id</code>; everything the call caused is found under it at <a href="#system-traces-get"><code>GET /traces/{id}</code></a>. Send one of your own, or a W3C <code>traceparent</code>, and it is used.</dd>
<dt>Safe to repeat</dt><dd>Every call that changes something takes <code>Idempotency-Key</code>. The same key and body are done once; the repetition gets the first answer and <code>Idempotency-Replayed: true</code>.</dd>
<dt>Permissions</dt><dd>Stand below each address; a key has them as <code>scopes</code>: by name (<code>jobs.read</code>), by module (<code>jobs.*</code>), by kind (<code>*.read</code>) or all (<code>*</code>). <a href="#system-access-me"><code>GET /me</code></a> tells what yours has.</dd>
<dt>Records</dt><dd>Jobs, events, audit entries, subscriptions and everything else that is kept are lists under one address, <a href="#system-lists-page"><code>GET /lists/{module}/{list}</code></a>, with the same filters; <a href="#system-lists-index"><code>GET /lists</code></a> tells which there are and by what they can be filtered.</dd>
<dt>Pages</dt><dd>Lists come newest first, 50 at a time (<code>limit</code>, at most 200). Pass the <code>next_cursor</code> of one page as <code>cursor</code> to get the next; null: that was the last.</dd>
<dt>Realtime</dt><dd><code>Plinth-Offset: ?1</code> with a query has the answer say, in <code>Plinth-Offset</code>, from where <a href="#realtime"><code>/realtime</code></a> goes on without a gap.</dd>
<dt>Failures</dt><dd>Are <code>application/problem+json</code> (RFC 9457) with a code, a sentence and a way out. <a href="/docs/errors">All codes</a>.</dd>
<dt>Limits</dt><dd>Bodies of 1 MiB, JSON of 64 levels, 30 seconds a call. <code>Retry-After</code> says when it is worth another try.</dd>
<dt>tRPC</dt><dd>The same procedures answer at <code>/api/trpc/system.&lt;module&gt;.&lt;procedure&gt;</code>. This page is made from <a href="/openapi.json">/openapi.json</a>.</dd>
</dl></section>`;

/** The reference of the REST API. */
export function referencePage(document: Document): string {
  const byTag = new Map<string, { method: string; path: string; operation: Operation }[]>();
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? 'other';
      byTag.set(tag, [...(byTag.get(tag) ?? []), { method, path, operation }]);
    }
  }
  const tags = [...byTag.keys()].sort();
  return page(
    `${document.info.title} API`,
    html`
<header><h1>${document.info.title} API <small>${document.info.version}</small></h1><p>${document.info.description ?? ''}</p></header>
<nav aria-label="Contents"><a href="#start">Before the first call</a>${tags.map((tag) => html`<a href="#tag-${tag}">${tag}</a>`)}<a href="/docs/errors">errors</a></nav>
<main id="main">${INTRODUCTION}
${tags.map((tag) => html`<section id="tag-${tag}"><h2>${tag}</h2>${(byTag.get(tag) ?? []).map(({ method, path, operation }) => operationBlock(method, path, operation))}</section>`)}
</main>`,
  );
}

export interface ErrorLine {
  code: string;
  status: number;
  title: string;
  wayOut: string;
}

const nav = html`<nav aria-label="Contents"><a href="/docs">API</a><a href="/docs/errors">errors</a></nav>`;

export const errorsPage = (lines: readonly ErrorLine[]): string =>
  page(
    'Plinth errors',
    html`<header><h1>Errors</h1><p>An error is a code, a status, a sentence and a way out. Codes are never reused.</p></header>${nav}
<main id="main"><table><caption>All codes</caption><thead><tr><th scope="col">code</th><th scope="col">status</th><th scope="col">meaning</th></tr></thead><tbody>
${lines.map((line) => html`<tr><th scope="row"><a href="/docs/errors/${line.code}"><code>${line.code}</code></a></th><td>${line.status}</td><td>${line.title}</td></tr>`)}
</tbody></table></main>`,
  );

export const errorPage = (line: ErrorLine): string =>
  page(
    line.code,
    html`<header><h1><code>${line.code}</code></h1></header>${nav}
<main id="main"><dl><dt>What is wrong</dt><dd>${line.title}.</dd><dt>Way out</dt><dd>${line.wayOut}</dd><dt>HTTP status</dt><dd>${line.status}</dd><dt>SQLSTATE, where SQL raises it</dt><dd><code>PL${line.status}</code></dd></dl></main>`,
  );

export const STYLE = `:root{color-scheme:light dark;--text:#16202a;--soft:#55616e;--line:#d5dbe1;--page:#fff;--sunken:#f4f6f8;--accent:#0b5cad}
@media (prefers-color-scheme:dark){:root{--text:#e6eaee;--soft:#a3aebb;--line:#33404d;--page:#11161b;--sunken:#1a2128;--accent:#7bb8f5}}
*{box-sizing:border-box}body{margin:0 auto;max-width:68rem;padding:1.5rem 1rem 6rem;background:var(--page);color:var(--text);font:16px/1.55 system-ui,sans-serif}
h1{margin:0;font-size:1.7rem}h1 small{color:var(--soft);font-size:1rem;font-weight:400}h2{margin:2.5rem 0 .5rem;font-size:1.3rem;border-bottom:1px solid var(--line)}
h3{margin:1.6rem 0 0;font-size:1rem}h3 a{color:inherit;text-decoration:none}h3 a:hover{text-decoration:underline}a{color:var(--accent)}p{margin:.3rem 0}
code,pre{font:.875em/1.5 ui-monospace,monospace}code{overflow-wrap:anywhere}th code{overflow-wrap:normal}details,main>table{overflow-x:auto}pre{overflow-x:auto;padding:.75rem;background:var(--sunken);border:1px solid var(--line);border-radius:6px}
nav{display:flex;flex-wrap:wrap;gap:.25rem .9rem;padding:.75rem 0;border-bottom:1px solid var(--line)}.asks{color:var(--soft);font-size:.92em}
@media (width>=70rem){body{max-width:82rem;padding-left:14rem;position:relative}nav{position:fixed;top:0;bottom:0;width:11rem;margin-left:-13rem;flex-flow:column;gap:.1rem;padding:1.7rem 0;overflow-y:auto;border:0}}
.method{display:inline-block;min-width:4.2em;color:var(--accent);font-weight:700}.req{color:var(--soft);font-size:.8em;font-weight:400}
table{width:100%;margin:.75rem 0;border-collapse:collapse;font-size:.92em}caption{text-align:left;font-weight:600}th,td{padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);text-align:left;vertical-align:top;font-weight:400}
thead th{color:var(--soft)}dt{margin-top:.7rem;font-weight:600}dd{margin:0}summary{cursor:pointer;color:var(--soft)}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem}:focus-visible{outline:2px solid var(--accent);outline-offset:2px}section,article{scroll-margin-top:1rem}
`;
