import { readFile, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import type { PlinthError } from '#kernel/errors.ts';
import { fail } from '#kernel/errors.ts';

/** Everything from this origin, nothing inline, nothing evaluated. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
};

interface BuiltFile {
  body: Buffer<ArrayBuffer>;
  type: string;
}

/** A file below the folder; undefined when there is none, also when the path or a link leads out of the folder. */
export async function fileIn(directory: string, path: string): Promise<BuiltFile | undefined> {
  const type = TYPES[extname(path)];
  if (!type || path.includes('\0')) return undefined;
  try {
    const root = await realpath(directory);
    const file = await realpath(join(root, path));
    return file.startsWith(root + sep) ? { body: (await readFile(file)) as Buffer<ArrayBuffer>, type } : undefined;
  } catch {
    return undefined;
  }
}

export const noConsole = (): PlinthError =>
  fail('unknown_route', {
    message: 'The console is not part of this installation',
    wayOut:
      'Give its folder, PLINTH_CONSOLE_DIR or console in createHandler: dist/console of the package, or in a clone apps/console/dist once node apps/console/build.ts has run.',
  });

/** `lasting`: the name of the file changes with what is in it. */
export const fileAnswer = (file: BuiltFile, policy: string, lasting: boolean): Response =>
  new Response(file.body, {
    headers: {
      'content-type': file.type,
      'content-security-policy': policy,
      'cache-control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
    },
  });

/** A page of the built console. Errors: kernel_unknown_route. */
export async function filePage(directory: string | undefined, name: string, policy: string): Promise<Response> {
  const found = directory ? await fileIn(directory, name) : undefined;
  if (!found) throw noConsole();
  return fileAnswer(found, policy, false);
}
