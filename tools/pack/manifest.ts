/** The manifest of a package: what it says in the repository, and what npm gets. */

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** What only the repository needs: the doors to sources, and the guard against publishing those. */
const left = new Set(['imports', 'private', 'scripts', 'devDependencies']);

/** Programs that are started as files of their own, and imported by nothing. */
const programs = /^src\/apps\/(cli\/main|worker\/thread-main|cli\/replay\/child)\.ts$/;

const built = (path: string, ending: string): string => path.replace(/^\.\/src\//, './dist/').replace(/\.tsx?$/, ending);

/** The files that the compiler begins with; what they import comes along, and nothing else. */
export const entryFiles = ({ exports }: Manifest, sources: readonly string[]): string[] => [
  ...Object.values(exports).filter((path) => /\.tsx?$/.test(path)),
  ...sources.filter((path) => programs.test(path)).map((path) => `./${path}`),
];

/** The manifest of the package in npm, whose exports are JavaScript with declarations. */
export function publishedManifest(manifest: Manifest): Record<string, unknown> {
  const kept = Object.fromEntries(Object.entries(manifest).filter(([field]) => !left.has(field)));
  const exports = Object.entries(manifest.exports).map(([door, path]) => [
    door,
    /\.tsx?$/.test(path) ? { types: built(path, '.d.ts'), default: built(path, '.js') } : built(path, ''),
  ]);
  return { ...kept, exports: { ...Object.fromEntries(exports), './package.json': './package.json' } };
}
