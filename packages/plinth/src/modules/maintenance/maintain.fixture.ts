/** Maintenance in a process of its own that kills itself at a point: `begin detach`, `end drop`, `middle archive`, `middle sweep`. */
import process from 'node:process';
import { diskStorage } from '#adapters/storage/disk.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import { createPlinth } from '../../index.ts';
import { maintain } from './maintain.ts';

const { PLINTH_DATABASE_URL = '', OWNER_URL = '', FOLDER = '', POINT } = process.env;
const plinth = createPlinth({ database: { url: PLINTH_DATABASE_URL } });
const storage = diskStorage(FOLDER);
const die = (): void => void process.kill(process.pid, 'SIGKILL');
let sweeping = 0;

async function* dying(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of body) {
    yield bytes.subarray(0, 100);
    die();
  }
}

const report = await maintain(
  {
    asWorker: async (body) => {
      const result = await plinth.asWorker({}, body);
      if (POINT === 'middle sweep' && sweeping > 0 && ++sweeping > 2) die();
      return result;
    },
    owner: ownerAccess(OWNER_URL),
    storage: { ...storage, put: (key, body) => storage.put(key, POINT === 'middle archive' ? dying(body) : body) },
    onStep: (step, phase) => {
      if (step.action === 'sweep') sweeping += 1;
      if (`${phase} ${step.action}` === POINT) die();
    },
  },
  { task: 'retention', kinds: ['audit.entries'], batch: 10 },
);
process.stdout.write(JSON.stringify(report));
await plinth.close();
