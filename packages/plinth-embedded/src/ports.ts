/** Which TCP ports may be tried, in order. */
import { createServer } from 'node:net';

/** The wanted port if it is free, then the free ones among the next hundred; for 0 ten that the system picks. */
export async function* candidatePorts(host: string, wanted: number): AsyncGenerator<number> {
  const ports = wanted === 0 ? Array<number>(10).fill(0) : Array.from({ length: 100 }, (_, index) => wanted + index);
  for (const port of ports) {
    const free = port > 65_535 ? undefined : await probe(host, port);
    if (free !== undefined) yield free;
  }
}

/** Listens for a moment: the port it got, or undefined when it is taken or not allowed. */
function probe(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const got = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(got));
    });
  });
}
