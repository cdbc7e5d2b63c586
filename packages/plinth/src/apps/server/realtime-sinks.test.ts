import { expect, test } from 'vitest';
import { streamSink } from './realtime-sinks.ts';

test.each(['end', 'destroy'] as const)('a web stream that its reader has cancelled can be told to %s', async (how) => {
  let ended = 0;
  let sink: ReturnType<typeof streamSink> | undefined;
  const stream = new ReadableStream<Uint8Array>({ start: (controller) => void (sink = streamSink(controller, () => void ended++)) });
  sink?.write(Buffer.from('x'));
  await stream.cancel();
  sink?.[how]();
  sink?.[how]();
  expect(ended).toBe(1);
  expect(sink?.waiting).toBe(0);
});
