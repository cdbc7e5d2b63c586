import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Message {
  kind: string;
  ports?: number[];
  seen?: number;
  latencies?: number[];
}

export interface Sink {
  /** One a receiver. */
  urls: string[];
  /** Answers after 30 s. */
  tarpit: string;
  /** Counts from zero; resolves what resolves when so many have come. */
  expect(count: number): Promise<{ seen: Promise<void> }>;
  /** Milliseconds from `sentAt` in the bodies to their arrival. */
  report(): Promise<{ seen: number; latencies: number[] }>;
  close(): void;
}

/** Receivers in a process of their own, so that they do not take the event loop of who is measured. */
export async function startSink(receivers: number): Promise<Sink> {
  const child = fork(fileURLToPath(new URL('./sink-process.ts', import.meta.url)), [String(receivers)], { execArgv: ['--no-warnings'] });
  child.setMaxListeners(0);
  const next = (kind: string): Promise<Message> =>
    new Promise((resolve, reject) => {
      const onMessage = (message: Message): void => {
        if (message.kind !== kind) return;
        child.off('message', onMessage);
        resolve(message);
      };
      child.on('message', onMessage);
      child.once('exit', (code) => reject(new Error(`the sink ended with ${code}`)));
    });
  const { ports = [] } = await next('ports');
  const urls = ports.map((port) => `http://127.0.0.1:${port}/hook`);
  return {
    urls: urls.slice(0, receivers),
    tarpit: urls[receivers] ?? '',
    async expect(count) {
      const ready = next('expecting');
      const seen = next('seen').then(() => undefined);
      seen.catch(() => undefined);
      child.send({ kind: 'expect', count });
      await ready;
      return { seen };
    },
    async report() {
      const report = next('report');
      child.send({ kind: 'report' });
      const { seen = 0, latencies = [] } = await report;
      return { seen, latencies };
    },
    close: () => child.disconnect(),
  };
}
