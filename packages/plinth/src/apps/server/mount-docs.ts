import { egressErrors } from '#adapters/http/egress-errors.ts';
import type { ErrorCatalogue } from '#kernel/errors.ts';
import { fail, kernelErrors } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { json } from './answer.ts';
import type { Document, ErrorLine } from './docs-page.ts';
import { errorPage, errorsPage, referencePage, STYLE } from './docs-page.ts';
import type { Host, Server } from './host.ts';
import { only } from './host.ts';
import { openApiDocument } from './openapi.ts';
import { tagsOf, withNames } from './openapi-names.ts';

/** No script runs on these pages, so none is allowed. */
const DOCS_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const pageOf = (text: string, type = 'text/html'): Response =>
  new Response(text, { headers: { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': DOCS_POLICY, 'cache-control': 'no-cache' } });

/** Every error that this installation can answer with, by code. */
export function errorLines(modules: ModuleMap): ErrorLine[] {
  const catalogues: [string, ErrorCatalogue][] = [
    ['kernel', kernelErrors],
    ['egress', egressErrors],
    ...Object.values(modules).map((card): [string, ErrorCatalogue] => [card.name, card.errors ?? {}]),
  ];
  return catalogues
    .flatMap(([module, errors]) => Object.entries(errors).map(([name, entry]) => ({ ...entry, code: `${module}_${name}` })))
    .sort((one, other) => (one.code < other.code ? -1 : 1));
}

/** Made when first asked for, then kept. */
const kept = <T>(make: () => T): (() => T) => {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
};

/** /openapi.json, and pages for people made from it. */
export function mountDocs(app: Server, host: Host): void {
  const lists = Object.entries(host.plinth.modules).flatMap(([module, card]) => Object.keys(card.lists ?? {}).map((list) => ({ module, list })));
  const document = kept(() => openApiDocument(host.router, lists));
  const reference = kept(() => referencePage(document() as unknown as Document));
  const lines = kept(() => errorLines(host.plinth.modules));
  const described = kept(() => {
    const summaries = Object.fromEntries(Object.entries(host.plinth.modules).map(([name, card]) => [name, card.summary]));
    return withNames({ ...document(), tags: tagsOf(document().paths as Parameters<typeof tagsOf>[0], summaries) });
  });
  only(app, 'GET', '/openapi.json', () => json(described(), 200, { 'cache-control': 'no-cache' }));
  only(app, 'GET', '/docs', () => pageOf(reference()));
  only(app, 'GET', '/docs/style.css', () => pageOf(STYLE, 'text/css'));
  only(app, 'GET', '/docs/errors', () => pageOf(errorsPage(lines())));
  only(app, 'GET', '/docs/errors/:code', (c) => {
    const code = c.req.param('code');
    const line = lines().find((one) => one.code === code);
    if (!line) throw fail('unknown_route', { message: `There is no error ${(code ?? '').slice(0, 100)}`, wayOut: 'See /docs/errors for all of them.' });
    return pageOf(errorPage(line));
  });
}
