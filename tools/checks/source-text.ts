/**
 * Blanks out what is not code, keeping every line where it was, so that a rule about code does not fire on a comment or
 * a sentence. TypeScript 7 has no parser API to ask, and these rules need words and line numbers, not trees.
 */

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** A slash after one of these begins a regular expression, not a division. */
const beforeRegex = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\breturn|\btypeof|\bcase|=>)\s*$/;

/**
 * TypeScript with comments, regular expressions and the contents of strings blanked; code inside `${}` of a template stays.
 * `keep`: 'quotes' leaves '...' and "..." as they are (import specifiers), 'texts' leaves templates too (SQL in strings).
 */
export function typescriptCode(source: string, keep: 'nothing' | 'quotes' | 'texts' = 'nothing'): string {
  const scanner = { source, at: 0, out: '', keepQuotes: keep !== 'nothing', keepTemplates: keep === 'texts' };
  scanCode(scanner, false);
  return scanner.out;
}

type Scanner = { source: string; at: number; out: string; keepQuotes: boolean; keepTemplates: boolean };

function take(scanner: Scanner, end: number, keep: boolean): void {
  const piece = scanner.source.slice(scanner.at, end);
  scanner.out += keep ? piece : blank(piece);
  scanner.at = end;
}

/** Copies code until the end, or until the brace that closes a template's `${`. */
function scanCode(scanner: Scanner, insideTemplate: boolean): void {
  const { source } = scanner;
  let depth = 0;
  while (scanner.at < source.length) {
    const char = source[scanner.at] ?? '';
    const pair = source.slice(scanner.at, scanner.at + 2);
    if (pair === '//') take(scanner, endOf(source, '\n', scanner.at, 0), false);
    else if (pair === '/*') take(scanner, endOf(source, '*/', scanner.at + 2, 2), false);
    else if (char === "'" || char === '"') scanQuoted(scanner, char);
    else if (char === '`') scanTemplate(scanner);
    else if (char === '/' && beforeRegex.test(scanner.out.slice(-40))) scanRegex(scanner);
    else if (insideTemplate && char === '}' && depth === 0) return;
    else {
      if (char === '{') depth += 1;
      if (char === '}') depth -= 1;
      take(scanner, scanner.at + 1, true);
    }
  }
}

function endOf(source: string, mark: string, from: number, length: number): number {
  const found = source.indexOf(mark, from);
  return found < 0 ? source.length : found + length;
}

function scanQuoted(scanner: Scanner, quote: string): void {
  take(scanner, scanner.at + 1, true);
  let end = scanner.at;
  while (end < scanner.source.length && scanner.source[end] !== quote && scanner.source[end] !== '\n') {
    end += scanner.source[end] === '\\' ? 2 : 1;
  }
  take(scanner, end, scanner.keepQuotes);
  take(scanner, Math.min(end + 1, scanner.source.length), true);
}

function scanRegex(scanner: Scanner): void {
  let end = scanner.at + 1;
  let inClass = false;
  while (end < scanner.source.length && scanner.source[end] !== '\n') {
    const char = scanner.source[end];
    if (char === '/' && !inClass) break;
    if (char === '[') inClass = true;
    if (char === ']') inClass = false;
    end += char === '\\' ? 2 : 1;
  }
  take(scanner, Math.min(end + 1, scanner.source.length), false);
}

function scanTemplate(scanner: Scanner): void {
  take(scanner, scanner.at + 1, true);
  while (scanner.at < scanner.source.length) {
    const char = scanner.source[scanner.at];
    if (char === '`') {
      take(scanner, scanner.at + 1, true);
      return;
    }
    if (char === '\\') take(scanner, scanner.at + 2, scanner.keepTemplates);
    else if (char === '$' && scanner.source[scanner.at + 1] === '{') {
      take(scanner, scanner.at + 2, true);
      scanCode(scanner, true);
      if (scanner.at < scanner.source.length) take(scanner, scanner.at + 1, true);
    } else take(scanner, scanner.at + 1, scanner.keepTemplates);
  }
}

/** SQL with comments and quoted strings blanked; dollar-quoted bodies stay, because they are code. */
export function sqlCode(source: string): string {
  return source.replace(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'/g, (piece) => (piece.startsWith("'") ? `'${blank(piece.slice(1, -1))}'` : blank(piece)));
}

/** The line number of an offset, from 1. */
export function lineAt(source: string, offset: number): number {
  let line = 1;
  for (let at = source.indexOf('\n'); at >= 0 && at < offset; at = source.indexOf('\n', at + 1)) line += 1;
  return line;
}
