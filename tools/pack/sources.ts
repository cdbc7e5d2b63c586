/** The sources of a package as its compiler reads them: without tests, and with imports that are those of the finished package. */
import { dirname, posix } from 'node:path';
import { repositoryFiles } from '../repo.ts';

const ofTests = /\.(test|fixture)\.tsx?$/;

/** Files of a package that match, as paths relative to its folder; without tests. */
export function sources(folder: string, pattern: RegExp = /^src\/.*\.tsx?$/): string[] {
  return repositoryFiles()
    .filter((path) => path.startsWith(`${folder}/`))
    .map((path) => path.slice(folder.length + 1))
    .filter((path) => pattern.test(path) && !ofTests.test(path));
}

type Imports = Readonly<Record<string, string>>;

/** Where `#kernel/log.ts` leads by the manifest's `imports`: `src/kernel/log.ts`. Undefined when it leads nowhere. */
function target(specifier: string, imports: Imports): string | undefined {
  for (const [name, path] of Object.entries(imports)) {
    const [before = '', after] = name.split('*');
    if (after === undefined ? specifier === name : specifier.startsWith(before) && specifier.endsWith(after))
      return path.replace('./', '').replaceAll('*', specifier.slice(before.length, specifier.length - (after ?? '').length));
  }
  return undefined;
}

function relative(specifier: string, file: string, imports: Imports): string {
  const found = specifier.startsWith('#') ? target(specifier, imports) : posix.join(dirname(file), specifier);
  if (!found) return specifier;
  const path = posix.relative(dirname(file), found).replace(/\.tsx?$/, '.js');
  return path.startsWith('.') ? path : `./${path}`;
}

/**
 * The text of a source with its imports as they are in the finished package: relative paths to JavaScript, none through `imports`. Formatted sources have their
 * specifiers in single quotes behind `from`, `import` or `import(`; what were missed would not compile.
 */
export function stagedText(text: string, file: string, imports: Imports): string {
  return text.replaceAll(/(\bfrom |\bimport |\bimport\()'([.#][^']*)'/g, (_, before: string, specifier: string) => {
    return `${before}'${relative(specifier, file, imports)}'`;
  });
}
