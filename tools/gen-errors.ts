/** Writes docs/errors/: one page for each code of the catalogues, and an index. The address of a page is in every error answer. */
import { egressErrors } from '../packages/plinth/src/adapters/http/egress-errors.ts';
import { type ErrorCatalogue, type ErrorEntry, kernelErrors } from '../packages/plinth/src/kernel/errors.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import type { Generated } from './generated.ts';

/** The folder that this generator owns as a whole. */
export const errorPages = 'docs/errors';

export type CatalogueLine = ErrorEntry & { code: string; module: string };

/** Every documented error of the kernel, the egress guard and the modules, by code. */
export function catalogue(): CatalogueLine[] {
  const cards: { name: string; errors?: ErrorCatalogue }[] = Object.values(modules);
  const catalogues: [string, ErrorCatalogue][] = [
    ['kernel', kernelErrors],
    ['egress', egressErrors],
    ...cards.map((card): [string, ErrorCatalogue] => [card.name, card.errors ?? {}]),
  ];
  return catalogues
    .flatMap(([module, errors]) => Object.entries(errors).map(([name, entry]) => ({ ...entry, code: `${module}_${name}`, module })))
    .sort((one, other) => (one.code < other.code ? -1 : 1));
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

function page(line: CatalogueLine): string {
  const homes: Record<string, string> = { kernel: 'kernel/errors.ts', egress: 'adapters/http/egress-errors.ts' };
  const home = homes[line.module] ?? `modules/${line.module}/errors.ts`;
  return [
    `# ${line.code}`,
    '',
    sentence(line.title),
    '',
    `**Way out.** ${sentence(line.wayOut)}`,
    '',
    '| | |',
    '|---|---|',
    `| HTTP status | ${line.status} |`,
    `| SQLSTATE, where SQL raises it | \`PL${line.status}\` |`,
    `| comes from | [${home}](../../packages/plinth/src/${home}) |`,
    '',
    'All codes: [errors](README.md).',
    '',
  ].join('\n');
}

function index(lines: readonly CatalogueLine[]): string {
  return [
    '# Errors',
    '',
    'Generated from the catalogues in the code; run `npm run gen` instead of editing. An error is a code, a status, a sentence and',
    'a way out. REST answers with RFC 9457 problem details whose `type` leads to the page of the code; SQL raises SQLSTATE `PL`',
    'with the status, the code in the detail and the way out in the hint.',
    '',
    '| code | status | meaning |',
    '|---|---|---|',
    ...lines.map((line) => `| [${line.code}](${line.code}.md) | ${line.status} | ${line.title} |`),
    '',
  ].join('\n');
}

/** All pages, for tools/gen.ts. */
export function generateErrorPages(lines: readonly CatalogueLine[] = catalogue()): Generated[] {
  return [{ path: `${errorPages}/README.md`, text: index(lines) }, ...lines.map((line) => ({ path: `${errorPages}/${line.code}.md`, text: page(line) }))];
}
