/** Links: every relative link and anchor of every Markdown file leads somewhere, and every page can be reached. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { read, repositoryFiles } from '../repo.ts';
import type { Check, Outcome } from './check.ts';
import { lineAt } from './source-text.ts';

/** Markdown with code blocks and code spans blanked, lines kept. */
function prose(text: string): string {
  const blank = (piece: string): string => piece.replace(/[^\n]/g, ' ');
  return text.replace(/^(```+|~~~+)[\s\S]*?^\1[^\n]*$/gm, blank).replace(/`[^`\n]+`/g, blank);
}

/** The anchors of a page, made from its headings the way GitHub makes them. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  const withoutBlocks = text.replace(/^(```+|~~~+)[\s\S]*?^\1[^\n]*$/gm, '');
  for (const [, heading = ''] of withoutBlocks.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  for (const [, id = ''] of text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

/** The relative links of a page: target without anchor, anchor, line. */
export function linksOf(text: string): { target: string; anchor: string; line: number }[] {
  const clean = prose(text);
  const inline = clean.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g);
  const reference = clean.matchAll(/^\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm);
  return [...inline, ...reference]
    .map((match) => ({ url: match[1] ?? '', line: lineAt(clean, match.index) }))
    .filter(({ url }) => !/^[a-z][a-z+.-]*:/i.test(url))
    .map(({ url, line }) => {
      const [target = '', anchor = ''] = url.split('#');
      return { target: decodeURIComponent(target), anchor: decodeURIComponent(anchor), line };
    });
}

/** What is wrong with one link of `page`, or undefined. */
function linkFault(folder: string, page: string, target: string, anchor: string): string | undefined {
  if (target.startsWith('/')) return `${target} is absolute: link relative to the page`;
  const path = target === '' ? page : normalize(join(dirname(page), target));
  if (path.startsWith('..')) return `${target} leads out of the repository`;
  if (!existsSync(join(folder, path))) return `${target} leads nowhere`;
  if (anchor === '' || !path.endsWith('.md')) return undefined;
  return anchorsOf(read(path, folder)).has(anchor) ? undefined : `${target}#${anchor}: the page has no such heading`;
}

/** The file a link reaches: a folder means its README. */
function reached(folder: string, page: string, target: string): string {
  const path = target === '' ? page : normalize(join(dirname(page), target)).replace(/\/$/, '');
  const full = join(folder, path);
  return existsSync(full) && statSync(full).isDirectory() ? `${path}/README.md` : path;
}

/** Code spans of the code map that look like paths must be paths. */
const pathSpan = /`((?:packages|apps|tools|test|docs|examples|bench)\/[\w./-]*)`/g;

function run(folder: string): Outcome {
  const pages = repositoryFiles(folder).filter((path) => path.endsWith('.md'));
  const faults: string[] = [];
  const linked = new Set(['README.md', 'ARCHITECTURE.md']);
  let looked = 0;
  for (const page of pages) {
    const text = read(page, folder);
    for (const { target, anchor, line } of linksOf(text)) {
      looked += 1;
      const fault = linkFault(folder, page, target, anchor);
      if (fault) faults.push(`${page}:${line}: ${fault}`);
      else if (reached(folder, page, target) !== page) linked.add(reached(folder, page, target));
    }
    if (page.includes('/adr/')) continue;
    for (const match of text.matchAll(pathSpan)) {
      looked += 1;
      if (!existsSync(join(folder, match[1] ?? ''))) faults.push(`${page}:${lineAt(text, match.index)}: ${match[1]} does not exist`);
    }
  }
  for (const page of pages) {
    if (!linked.has(page) && page.startsWith('docs/')) faults.push(`${page}: no page links here, so nobody will read it`);
  }
  return { looked, what: `links and paths in ${pages.length} pages`, faults };
}

export const links: Check = {
  name: 'links',
  promise: 'Every link, anchor and path in the documents leads somewhere, and every page under docs is reachable.',
  atLeast: 10,
  run,
};
