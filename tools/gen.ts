/**
 * `npm run gen`: writes every generated file. `npm run gen -- --check`: writes nothing, names the stale ones and fails.
 * The registry comes first, because the rest is read from the modules that it lists; the database files are read from an
 * embedded PostgreSQL that is migrated from nothing and thrown away.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { generateRegistry } from './gen-registry.ts';
import { type Generated, orphanFiles, staleFiles, writeFiles } from './generated.ts';
import { root } from './repo.ts';

type Written = { files: Generated[]; orphans: string[] };

/** Everything that is read from the code and from what was measured. Imported late: the registry may have been written a moment ago. */
async function fromCode(): Promise<Written> {
  const { generateErrorPages, errorPages } = await import('./gen-errors.ts');
  const { generateBenchmarks } = await import('./gen-benchmarks.ts');
  const pages = generateErrorPages();
  return { files: [...pages, ...generateBenchmarks()], orphans: orphanFiles(pages, errorPages) };
}

/** Everything that is read from a fresh database. */
async function fromDatabase(): Promise<Written> {
  const [{ generateDatabase }, { migrateUp }, { modules }, { startPostgres }, { default: pg }] = await Promise.all([
    import('./gen-db.ts'),
    import('../packages/plinth/src/kernel/migrate/index.ts'),
    import('../packages/plinth/src/registry.gen.ts'),
    // By path: in a copy of the repository the workspace links of node_modules may lead to the original.
    import(pathToFileURL(join(root, 'packages/plinth-embedded/src/index.ts')).href) as Promise<typeof import('../packages/plinth-embedded/src/index.ts')>,
    import('pg'),
  ]);
  const dataDir = await mkdtemp(join(tmpdir(), 'plinth-gen-'));
  const server = await startPostgres({ dataDir, port: 0, settings: { fsync: false } });
  try {
    await migrateUp({ url: server.url, modules });
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return { files: await generateDatabase(client), orphans: [] };
    } finally {
      await client.end();
    }
  } finally {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function main(check: boolean): Promise<number> {
  const registry = generateRegistry();
  const stale = staleFiles(registry);
  if (check && stale.length > 0) {
    console.error(`${stale.join(', ')} is stale: run npm run gen`);
    console.log(`${registry.length} files compared, the rest stands on the registry`);
    return 1;
  }
  writeFiles(registry);
  const parts = [{ files: registry, orphans: [] }, await fromCode(), await fromDatabase()];
  const files = parts.flatMap((part) => part.files);
  const orphans = parts.flatMap((part) => part.orphans);
  if (!check) {
    for (const path of writeFiles(files, orphans)) console.log(`written: ${path}`);
    console.log(`${files.length} files are current`);
    return 0;
  }
  const faults = [
    ...staleFiles(files).map((path) => `${path} is stale: run npm run gen`),
    ...orphans.map((path) => `${path} belongs to nothing any more: run npm run gen`),
  ];
  for (const fault of faults) console.error(fault);
  console.log(`${files.length} files compared, ${faults.length} stale`);
  return faults.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.includes('--check'));
