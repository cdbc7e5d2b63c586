/** One address for whichever server is the primary, as a name or a virtual address is. */
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export class Forwarder {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #target: number | undefined;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((caller) => this.#pass(caller));
  }

  static async make(target: number): Promise<Forwarder> {
    const made = new Forwarder(target);
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    return made;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #pass(caller: Socket): void {
    if (this.#target === undefined) return void caller.destroy();
    const there = connect(this.#target, '127.0.0.1');
    for (const [from, to] of [
      [caller, there],
      [there, caller],
    ] as const) {
      this.#open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#open.delete(from);
        to.destroy();
      });
    }
  }

  /** Nobody gets through any more. */
  cut(): void {
    this.#target = undefined;
    for (const socket of this.#open) socket.destroy();
  }

  to(target: number): void {
    this.#target = target;
  }

  async close(): Promise<void> {
    this.cut();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
