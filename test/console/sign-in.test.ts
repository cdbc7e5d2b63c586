/** Coming in: by the link that `npm start` prints, by a key, and what stands in the way of everybody else. */
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needs } from '../../packages/plinth/src/testing/needs.ts';
import { axeFaults, openWorld, settled, type World } from './fixture/world.ts';

const browserAt = needs('chromium');

describe.runIf(browserAt.available)('signing in', { timeout: 180_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(browserAt.at);
  });
  afterAll(() => world?.close());

  test('the link signs in once, and its token leaves the address', async () => {
    const browser = await chromium.launch({ executablePath: browserAt.at, args: ['--no-sandbox', '--disable-gpu'] });
    const page = await browser.newPage();
    const link = await world.link();
    await page.goto(link);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(page.url()).not.toContain('plk_');
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    const other = await browser.newPage();
    await other.goto(link);
    await other.getByRole('alert').waitFor();
    expect(await other.getByRole('heading', { name: 'Sign in to Plinth' }).count()).toBe(1);
    await browser.close();
  });

  test('who has chosen no tenant starts in the oldest customer, however many came later', async () => {
    await world.plinth.asWorker({}, (tx) => tx.query(`insert into plinth_kernel.tenants (slug, name) values ('replay-1', 'Replay 1')`));
    const { page } = await world.open((await world.link()).slice(world.origin.length));
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    const oldest = await world.plinth.asWorker({}, (tx) =>
      tx.query<{ id: string; name: string }>(`select id, name from plinth_kernel.tenants where slug <> 'plinth-system' order by id limit 1`),
    );
    expect(await page.getByRole('button', { name: /^Tenant: / }).textContent()).toBe(`Tenant: ${oldest[0]?.name}`);
    // Whoever is sent an address from here sees the same.
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Parcels' }).click();
    await page.getByRole('heading', { name: 'Parcels' }).waitFor();
    expect(new URL(page.url()).searchParams.get('tenant')).toBe(oldest[0]?.id);
  });

  test('a key signs in on the page that was asked for, and signing out ends it', async () => {
    const { page, context, faults } = await world.visit('/');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').fill('plk_operator_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await page.goto(`${world.origin}/console/lists/parcels/parcels?tenant=${world.tenantA}`);
    await page.getByLabel('API key').fill(world.adminKey);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Parcels' }).waitFor();
    expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain('plk_');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Plinth' }).waitFor();
    expect(await context.cookies()).toEqual([]);
    expect(faults).toEqual([]);
  });

  test('who may only read is not offered what would be refused', async () => {
    const { secret } = (await world.call(world.tenantA, 'POST', '/keys', { name: 'reader', scopes: ['parcels.read'] })) as { secret: string };
    const { page, faults } = await world.open('/console');
    await page.getByText('plinth login').waitFor();
    await page.getByLabel('API key').fill(secret);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByRole('navigation').getByRole('link', { name: 'Parcels' }).waitFor();
    expect(await page.getByRole('button', { name: 'Run the demo order' }).count()).toBe(0);
    expect(await page.getByRole('navigation').getByRole('link', { name: 'Audit log' }).count()).toBe(0);
    expect(faults).toEqual([]);
  });

  test('a session that ends while a page is open leads to the sign-in, and back to where one was', async () => {
    const { page, context } = await world.visit('/lists/parcels/parcels?q=status:failed');
    await context.clearCookies();
    await page.getByText('Your session has ended').waitFor();
    await page.getByLabel('API key').fill(world.adminKey);
    await page.keyboard.press('Enter');
    await page.getByText('Nothing matches this filter').waitFor();
    expect(new URL(page.url()).searchParams.get('q')).toBe('status:failed');
  });

  test('a form that is half filled when the session ends is still there after signing in again', async () => {
    await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
      tx.query(`insert into plinth_parcels.parcels (tenant_id, label, status) values ($1, 'half', 'failed')`, [world.tenantA]),
    );
    const { page, context } = await world.visit('/lists/parcels/parcels?q=label:half');
    await page.locator('tbody').getByRole('button', { name: 'Send' }).click();
    await page.getByLabel('Note').fill('a long note');
    await context.clearCookies();
    await page.getByText('Your session has ended').waitFor();
    expect(await page.getByLabel('Note').isVisible()).toBe(false);
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel('API key').fill(world.adminKey);
    await page.keyboard.press('Enter');
    await page.getByText('Your session has ended').waitFor({ state: 'detached' });
    expect(await page.getByLabel('Note').inputValue()).toBe('a long note');
    await page.getByRole('dialog').getByRole('button', { name: 'Send' }).click();
    await page.getByText('Send: done').waitFor();
  });

  test("a tab that is open is another tenant's when another tab signs in with its key, and shows nothing of the one as the other's", async () => {
    for (const [tenant, label] of [
      [world.tenantA, 'mine-a'],
      [world.tenantB, 'mine-b'],
    ] as const)
      await world.plinth.transaction({ tenantId: tenant }, (tx) =>
        tx.query(`insert into plinth_parcels.parcels (tenant_id, label) values ($1, $2)`, [tenant, label]),
      );
    const keyOf = async (tenant: string, scopes: string[]) =>
      ((await world.call(tenant, 'POST', '/keys', { name: 'tab', scopes })) as { secret: string }).secret;
    const { page, context } = await world.open('/console/lists/parcels/parcels');
    await page.getByLabel('API key').fill(await keyOf(world.tenantA, ['parcels.*']));
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'mine-a' }).waitFor();
    expect(await page.getByRole('button', { name: 'Recall' }).count()).toBeGreaterThan(0);
    const mixed: string[] = [];
    await page.exposeFunction('note', (text: string) => mixed.push(text));
    await page.evaluate(`new MutationObserver(() => {
      const text = document.body.textContent;
      if (text.includes('Tenant A') && text.includes('mine-b') || text.includes('Tenant B') && text.includes('mine-a')) note(text);
    }).observe(document.body, { childList: true, subtree: true, characterData: true })`);
    const data = { key: await keyOf(world.tenantB, ['parcels.read']) };
    await context.request.post(`${world.origin}/api/v1/console/login`, { headers: { origin: world.origin }, data });
    await page.getByRole('link', { name: 'mine-b' }).waitFor();
    await page.getByRole('banner').getByText('Tenant B').waitFor();
    expect(await page.getByRole('button', { name: 'Recall' }).count(), 'of the other key').toBe(0);
    expect(mixed).toEqual([]);
  });

  test('a database that is away is told as such, and not as a server that does not answer', async () => {
    const { page } = await world.visit('/lists/parcels/parcels');
    const problem = { title: 'The database cannot be reached', status: 503, code: 'kernel_unavailable', way_out: 'Try again.' };
    await page.route(/\/api\/v1\/lists\/parcels/, (route) =>
      route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(problem) }),
    );
    await page.getByText('The database cannot be reached.').waitFor();
  });

  test('while the server is away every page says so and since when, and goes on by itself', async () => {
    await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
      tx.query(`insert into plinth_parcels.parcels (tenant_id, label) values ($1, 'box')`, [world.tenantA]),
    );
    const { rows } = (await world.call(world.tenantA, 'GET', '/lists/parcels/parcels')) as { rows: { id: string }[] };
    const comesBack = async (path: string): Promise<void> => {
      const { page } = await world.visit(path);
      let away = true;
      await page.route(/\/(api|readyz)/, (route) => (away ? route.abort() : route.continue()));
      await page.getByText(/What is shown is as of \d\d:\d\d:\d\d/).waitFor();
      expect(await page.getByRole('switch', { name: 'Live' }).textContent()).toBe('No answer');
      if (path === '/') expect(await axeFaults(page)).toEqual([]);
      away = false;
      await page.getByText('The server does not answer').waitFor({ state: 'detached' });
      expect(await page.getByRole('alert').count()).toBe(0);
    };
    await Promise.all(['/', '/lists/parcels/parcels', `/lists/parcels/parcels/${rows[0]?.id}`].map(comesBack));
  });

  test('among more tenants than a list can hold one is found by its name', async () => {
    await world.plinth.asWorker({}, (tx) =>
      tx.query(`insert into plinth_kernel.tenants (slug, name) select 'many-' || n, 'Many ' || n from generate_series(1, 205) n`),
    );
    const { page, faults } = await world.visit('/');
    await page.getByRole('button', { name: /^Tenant/ }).click();
    await page.getByLabel('Find a tenant').fill('many 7');
    await page.getByRole('option', { name: 'Many 77' }).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel('Find a tenant').fill('Tenant B');
    await page.getByRole('option', { name: 'Tenant B' }).waitFor();
    await page.getByLabel('Look into').selectOption({ label: 'Tenant B' });
    await page.getByRole('button', { name: 'Use' }).click();
    await page.getByRole('button', { name: 'Tenant: Tenant B' }).waitFor();
    expect(page.url()).toContain(world.tenantB);
    expect(faults).toEqual([]);
  });

  test("away from one's own machine an operator says why before anything is shown", async () => {
    const { page } = await world.visit('/');
    const address = world.origin.replace('127.0.0.1', 'plinth.test');
    await page.goto((await world.link()).replace('127.0.0.1', 'plinth.test'));
    await page.getByRole('heading', { name: 'Why do you look?' }).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel('Reason').fill('Ticket 77: größere Rechnung');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.goto(`${address}/console/lists/parcels/parcels?tenant=${world.tenantA}`);
    await settled(page);
    const { rows } = (await world.call(world.tenantA, 'GET', '/lists/audit/entries?q=action:operator.accessed')) as { rows: { reason?: string; id: string }[] };
    const whole = await Promise.all(rows.map(({ id }) => world.call(world.tenantA, 'GET', `/lists/audit/entries/${id}`)));
    expect(whole).toContainEqual(expect.objectContaining({ reason: 'Ticket 77: größere Rechnung' }));
  });
});
