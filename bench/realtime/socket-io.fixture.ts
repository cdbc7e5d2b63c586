/** A socket.io server in a process of its own. Tells its port to its parent. */
import process from 'node:process';
import { startSocketIo } from '../peers/socket-io.ts';

const { port } = await startSocketIo(process.env.PLINTH_DATABASE_URL ?? '', Number(process.env.PORT ?? 0));
process.send?.({ port });
process.on('disconnect', () => process.exit());
