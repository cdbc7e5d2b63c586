/** The typed client, against the real handler. */
import { TRPCClientError } from '@trpc/client';
import { afterAll, beforeAll, expect, expectTypeOf, test } from 'vitest';
import { type TestServer, testServer } from '../apps/server/server.fixture.ts';
import { createPlinthClient } from './index.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('client');
});
afterAll(() => server.close());

const client = (token: string, correlationId?: string) =>
  createPlinthClient({
    url: 'http://plinth.test/api/trpc',
    token,
    ...(correlationId ? { correlationId } : {}),
    fetch: (input, init) => server.handler(new Request(input, init)),
  });

test('calls procedures of the modules by name, with the types of their answers', async () => {
  const correlationId = server.database.plinth.newId();
  const { id } = await client(server.keyA, correlationId).system.jobs.enqueue.mutate({ kind: 'order.receipt', payload: { id: '1' } });
  expectTypeOf(id).toEqualTypeOf<string>();
  const { job } = await client(server.keyA).system.jobs.get.query({ id });
  expectTypeOf(job.status).toBeString();
  expect(job).toMatchObject({ id, job_type: 'order.receipt', correlation_id: correlationId });
});

test("another tenant's record is missing, and the error is the problem document", async () => {
  const { id } = await client(server.keyA).system.jobs.enqueue.mutate({ kind: 'order.receipt' });
  const error: unknown = await client(server.keyB)
    .system.jobs.get.query({ id })
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TRPCClientError);
  expect((error as TRPCClientError<never>).data).toMatchObject({ problem: { code: 'jobs_job_not_found', status: 404, way_out: expect.any(String) } });
});

test('several calls travel in one request', async () => {
  let requests = 0;
  const counting = createPlinthClient({
    url: 'http://plinth.test/api/trpc',
    token: server.keyA,
    fetch: (input, init) => {
      requests += 1;
      return server.handler(new Request(input, init));
    },
  });
  await Promise.all([counting.system.access.me.query(), counting.system.access.roles.list.query()]);
  expect(requests).toBe(1);
});
