/** The package's entries for browsers in a page of an application: of the server's own origin, and of another. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needs } from '../../packages/plinth/src/testing/needs.ts';
import { type EmbeddingPage, embeddingPage } from './fixture/embedding-page.ts';
import { axeFaults, openWorld, type World } from './fixture/world.ts';

const browserAt = needs('chromium');

describe.runIf(browserAt.available)('a page of an application', { timeout: 300_000 }, () => {
  let world: World;
  let customer: EmbeddingPage;
  beforeAll(async () => {
    customer = await embeddingPage();
    world = await openWorld(browserAt.at, [customer.origin]);
    await world.call(world.tenantA, 'PUT', '/event-types/order.paid', { schema: { type: 'object' }, visibility: 'public' });
    await world.call(world.tenantA, 'POST', '/webhooks/subscriptions', {
      name: 'billing',
      url: world.receiver.url,
      patterns: ['order.paid'],
      public_only: true,
    });
  });
  afterAll(async () => {
    await world?.close();
    await customer?.close();
  });

  const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true });
  const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

  test('useTopic tells a component what is published, once in strict mode, and follows it to another topic and to none', async () => {
    const key = (await world.call(world.tenantA, 'POST', '/keys', { name: 'hook', scopes: ['events.read'] })) as { secret: string };
    const publish = (type: string, n: number): Promise<unknown> =>
      world.plinth.transaction({ tenantId: world.tenantA }, (tx) => tx.query('select plinth.publish_event($1, $2)', [type, { n }]));
    const { page, faults } = await world.open('/livez');
    await customer.serveAt(page, `${world.origin}/app/`);
    await page.goto(`${world.origin}/app/#${new URLSearchParams({ token: key.secret, topics: 'events/hook.first events/hook.second none' })}`);
    await page.getByText('events/hook.first is live: ').waitFor();
    await publish('hook.first', 1);
    await publish('hook.second', 2);
    await page.getByText('events/hook.first is live: 1', { exact: true }).waitFor();
    await button(page, 'events/hook.second').click();
    await page.getByText('events/hook.second is live: 1', { exact: true }).waitFor();
    await publish('hook.first', 3);
    await publish('hook.second', 4);
    await page.getByText('events/hook.second is live: 1, 4', { exact: true }).waitFor();
    await button(page, 'none').click();
    await page.getByText('none is closed: 1, 4', { exact: true }).waitFor();
    expect(faults).toEqual([]);
  });

  test('a page of another origin hears events with its token, over Server-Sent Events and over a WebSocket', async () => {
    const key = (await world.call(world.tenantA, 'POST', '/keys', { name: 'elsewhere', scopes: ['events.read'] })) as { secret: string };
    const none = (await world.call(world.tenantA, 'POST', '/keys', { name: 'nothing', scopes: ['jobs.read'] })) as { secret: string };
    const publish = (n: number): Promise<unknown> =>
      world.plinth.transaction({ tenantId: world.tenantA }, (tx) => tx.query('select plinth.publish_event($1, $2)', ['elsewhere.told', { n }]));
    const { page } = await world.open('/livez');
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    page.on('websocket', (socket) => asked.push(socket.url()));
    const show = (token: string) =>
      page.goto(`${customer.origin}/?${token.slice(-4)}#${new URLSearchParams({ server: world.origin, token, topics: 'events/elsewhere.*' })}`);
    await show(key.secret);
    await page.getByText('events/elsewhere.* is live: ').waitFor();
    await page.evaluate(`{
      window.frames_ = [];
      const socket = new WebSocket(${JSON.stringify(world.origin.replace('http', 'ws'))} + '/realtime?topic=events/elsewhere.*', ['plinth.realtime', 'plinth.bearer.' + ${JSON.stringify(key.secret)}]);
      socket.onmessage = ({ data }) => frames_.push(JSON.parse(data));
      socket.onopen = () => frames_.push({ event: socket.protocol });
    }`);
    const frames = (): Promise<{ event: string; data?: { payload?: { n: number } } }[]> => page.evaluate('frames_');
    await expect.poll(async () => (await frames()).map(({ event }) => event)).toEqual(['plinth.realtime', 'ready']);
    await publish(1);
    await page.getByText('events/elsewhere.* is live: 1', { exact: true }).waitFor();
    await expect.poll(async () => (await frames()).find(({ event }) => event === 'event')?.data?.payload).toEqual({ n: 1 });
    // What refuses is read as well: it does not come back without end.
    await show(none.secret);
    await page.getByText('events/elsewhere.* is closed: ').waitFor();
    const addresses = asked.filter((url) => url.includes('/realtime'));
    expect(addresses.length).toBeGreaterThan(2);
    expect(
      addresses.filter((url) => url.includes('plk_')),
      'no credential stands in an address',
    ).toEqual([]);
  });

  test('a page that stays open goes on with another link when its own has ended', async () => {
    const token = async (): Promise<string> => ((await world.call(world.tenantA, 'POST', '/webhooks/portal-links', {})) as { token: string }).token;
    const { page } = await world.open('/portal');
    let given = 0;
    await page.route(`${customer.origin}/token`, async (route) => {
      given += 1;
      await route.fulfill({ body: await token() });
    });
    await page.goto(customer.address(world.origin, ''));
    await button(page, 'billing').click();
    await heading(page, 'billing').waitFor();
    await world.call(world.tenantA, 'DELETE', '/webhooks/portal-links');
    const before = given;
    await button(page, 'Refresh').click();
    await button(page, 'Change').click();
    await page.getByLabel('Description').fill('of another day');
    await button(page, 'Save').click();
    await page.getByText('of another day').waitFor();
    expect(given - before).toBe(1);
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  test('the components work in a page of another origin, with a token, in strict mode and without touching its look', async () => {
    const found: string[] = [];
    const { token } = (await world.call(world.tenantA, 'POST', '/webhooks/portal-links', {})) as { token: string };
    const { page } = await world.open('/portal');
    const thrown: string[] = [];
    page.on('pageerror', (error) => thrown.push(error.message));
    await page.goto(customer.address(world.origin, token));
    await button(page, 'billing').click();
    await heading(page, 'billing').waitFor();
    await button(page, 'Rotate the secret…').click();
    await button(page, 'Rotate').click();
    await page.getByText(/^whsec_/).waitFor();
    found.push(...(await axeFaults(page)));
    await button(page, 'I have stored it').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await page.evaluate<string>(`getComputedStyle(document.getElementById('own')).color`)).toBe('rgb(1, 2, 3)');
    expect(await page.evaluate<string>(`getComputedStyle(document.querySelector('.plp-main')).backgroundColor`)).toBe('rgb(10, 80, 10)');
    expect(await page.evaluate<string>('document.cookie')).toBe('');
    expect(thrown).toEqual([]);
    expect(found).toEqual([]);
  });
});
