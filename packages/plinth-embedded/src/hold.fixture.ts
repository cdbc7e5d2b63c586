/** Starts PostgreSQL on the folder named first, prints a line of JSON about it and stays until it is killed. */
import { startPostgres } from './index.ts';

const [dataDir = '', port = '0', settings = '{}', account = '{}'] = process.argv.slice(2);
const postgres = await startPostgres({
  dataDir,
  port: Number(port),
  settings: JSON.parse(settings) as Record<string, string>,
  account: JSON.parse(account) as Record<string, never>,
});
process.stdout.write(`${JSON.stringify({ ...postgres, uid: process.getuid?.() })}\n`);
process.stdin.on('end', async () => {
  await postgres.stop();
  process.exit(0);
});
process.stdin.resume();
