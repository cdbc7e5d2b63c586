/** The customer portal as a customer has it: a link, a page, endpoints of their own, and no way to anything else. */
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needs } from '../../packages/plinth/src/testing/needs.ts';
import { axeFaults, openWorld, type World } from './fixture/world.ts';

const browserAt = needs('chromium');

describe.runIf(browserAt.available)('the portal', { timeout: 300_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(browserAt.at);
    const put = (name: string, visibility: string): Promise<unknown> =>
      world.call(world.tenantA, 'PUT', `/event-types/${name}`, {
        schema: { type: 'object', properties: { total: { type: 'integer' } } },
        example: { total: 7 },
        description: 'An order was paid for',
        visibility,
      });
    await put('order.paid', 'public');
    await put('order.audited', 'internal');
  });
  afterAll(async () => {
    await world?.close();
  });

  const link = async (options: Record<string, unknown> = {}, tenant = world.tenantA): Promise<string> =>
    ((await world.call(tenant, 'POST', '/webhooks/portal-links', options)) as { url: string }).url;
  const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true });
  const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
  /** What kind of thing the keyboard is at. */
  const focused = (page: Page): Promise<string> => page.evaluate<string>('document.activeElement.tagName');
  const found: string[] = [];
  const look = async (page: Page, name: string): Promise<void> => {
    found.push(...(await axeFaults(page)).map((fault) => `${name}: ${fault}`));
  };
  /** The list looks again by itself; on a slow machine the button is pressed until the row is there. */
  const attempt = async (page: Page, type: string): Promise<void> => {
    for (let tries = 0; tries < 60 && (await button(page, type).count()) === 0; tries += 1) {
      await button(page, 'Refresh').click();
      await button(page, type)
        .first()
        .waitFor({ timeout: 1_000 })
        .catch(() => undefined);
    }
    await button(page, type).first().click();
    await page.getByRole('dialog').getByRole('heading', { name: 'Answer' }).waitFor();
  };
  const close = async (page: Page): Promise<void> => {
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };

  test('from an empty page to an endpoint that was told of an event, and told again', async () => {
    const { page, faults } = await world.open(await link({ return_url: 'https://app.example.com/settings', locale: 'en-GB' }));
    await page.getByText('No endpoint yet.').waitFor();
    expect(new URL(page.url()).pathname).toBe('/portal');
    await look(page, 'empty');

    await button(page, 'Add an endpoint').click();
    await page.getByLabel('Name').fill('billing');
    await page.getByLabel('URL').fill(world.receiver.url);
    await page.getByLabel('order.paid').check();
    expect(await page.getByLabel('order.audited').count()).toBe(0);
    await page.getByLabel('Signed by').selectOption('both');
    await look(page, 'form');
    await button(page, 'Add').click();
    const secret = await page.getByText(/^whsec_/).textContent();
    world.receiver.secrets.push(secret ?? '');
    await look(page, 'secret');
    await button(page, 'I have stored it').click();
    await heading(page, 'billing').waitFor();
    expect(await page.getByText(secret ?? 'no secret').count()).toBe(0);

    await button(page, 'Send a test event').click();
    await attempt(page, 'webhooks.test');
    await page.getByText('"type": "webhooks.test"').waitFor();
    expect(await button(page, 'Send it again').count()).toBe(0);
    await look(page, 'attempt');
    await close(page);

    await page.getByLabel('Type of the test event').selectOption('order.paid');
    await button(page, 'Send a test event').click();
    await attempt(page, 'order.paid');
    await page.getByText('"test": true').waitFor();
    await close(page);
    await world.receiver.waitFor(2, 60_000);

    await world.call(world.tenantA, 'POST', '/events', { type: 'order.paid', data: { total: 12 } });
    await world.receiver.waitFor(3, 60_000);
    const logged = () => world.plinth.transaction({ tenantId: world.tenantA }, (tx) => tx.query('select from plinth.event_delivery_log'));
    await expect.poll(async () => (await logged()).length, { timeout: 60_000 }).toBe(3);
    await button(page, 'Refresh').click();
    await button(page, 'order.paid').nth(1).waitFor();
    await attempt(page, 'order.paid');
    await button(page, 'Send it again').click();
    await page.getByText('It is on its way').waitFor();
    await close(page);
    await world.receiver.waitFor(4, 60_000);

    await button(page, 'Rotate the secret…').click();
    await look(page, 'rotation');
    await button(page, 'Rotate').click();
    const second = await page.getByText(/^whsec_/).textContent();
    expect(second).not.toBe(secret);
    world.receiver.secrets.push(second ?? '');
    await button(page, 'I have stored it').click();

    await button(page, 'Send again…').click();
    await page.getByLabel('Every event, also what arrived').check();
    await page.getByLabel('Since').fill('2026-01-01T00:00');
    await page.getByLabel('Types').fill('order.refunded');
    await button(page, 'Count').click();
    await page.getByText('There is nothing to send.').waitFor();
    await page.getByLabel('Types').fill('order.*');
    await page.getByLabel('Until').fill('2026-01-02T00:00');
    await button(page, 'Count').click();
    await page.getByText('There is nothing to send.').waitFor();
    await page.getByLabel('Until').fill('');
    await page.getByLabel('At most so many a second').fill('50');
    await button(page, 'Count').click();
    await page.getByText('1 would be sent.').waitFor();
    await look(page, 'replay');
    await page.getByRole('dialog').getByRole('button', { name: 'Send again', exact: true }).click();
    await page.getByText(/^Everything since .*: order\.\*$/).waitFor();
    await page.getByText(/1 of 1, 50 a second/).waitFor();
    await world.receiver.waitFor(5, 60_000);

    const [event] = await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
      tx.query<{ id: string }>(`select id from plinth.events where event_type = 'order.paid'`),
    );
    await button(page, 'Send again…').click();
    await page.getByLabel('Some, by their ids').check();
    await page.getByLabel('Ids', { exact: true }).fill(` ${event?.id},\n`);
    await button(page, 'Count').click();
    await page.getByText('1 would be sent.').waitFor();
    await look(page, 'replay by id');
    await page.getByRole('dialog').getByRole('button', { name: 'Send again', exact: true }).click();
    // Below it the one of before: what had arrived and was sent again.
    await page.getByText('1 by id').nth(1).waitFor();
    await world.receiver.waitFor(6, 60_000);

    await button(page, 'Disable').click();
    await page.getByText('Disabled', { exact: true }).first().waitFor();
    await button(page, 'Resume…').click();
    await page.getByLabel('Go on, and send every event since a time again').check();
    expect(await page.getByLabel('Since', { exact: true }).inputValue()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d$/);
    await look(page, 'resume');
    await page.getByLabel(/^Go on with/).check();
    await button(page, 'Resume').click();
    await page.getByText('Enabled', { exact: true }).waitFor();
    await look(page, 'endpoint');
    expect(await page.getByRole('link', { name: 'Back' }).getAttribute('href')).toBe('https://app.example.com/settings');
    await page.goBack();
    await heading(page, 'Endpoints').waitFor();
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test('the catalogue holds public types with schema and example; every look is free of faults', async () => {
    found.length = 0;
    const { page, faults } = await world.open(await link({ theme: 'dark' }), { reducedMotion: 'reduce' });
    await page.locator('.plp[data-theme="dark"]').waitFor();
    await page.getByText(/^This link works until .+\. Times are in \S+\./).waitFor();
    for (const width of [1280, 375]) {
      await page.setViewportSize({ width, height: 900 });
      for (const tab of ['Endpoints', 'Events', 'Attempts']) {
        await page.getByRole('navigation').getByRole('button', { name: tab }).click();
        await heading(page, tab).waitFor();
        if (tab === 'Events' && width === 1280) {
          await page.getByText('order.paid', { exact: true }).click();
          await page.getByText('"total": 7').waitFor();
          expect(await page.getByText('order.audited').count()).toBe(0);
        }
        await page.getByText('Loading…').waitFor({ state: 'detached' });
        if (tab === 'Attempts') expect(await page.getByRole('rowheader').first().textContent()).toContain(world.receiver.url);
        await look(page, `${tab} ${width}`);
        const over = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
        if (over > 0) found.push(`${tab} ${width}: wider than the window by ${over}`);
      }
    }
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test('a late answer does not stand under another filter, and neither do rows of the one before', async () => {
    const { page } = await world.open(await link());
    await page.getByRole('navigation').getByRole('button', { name: 'Attempts' }).click();
    await page.getByRole('rowheader').first().waitFor();
    const late = Promise.withResolvers<void>();
    await page.route(/\/attempts\?/, async (route) => {
      const failed = route.request().url().includes('status=failed');
      if (!failed) await late.promise;
      await route.continue().catch(() => undefined);
    });
    await button(page, 'Refresh').click();
    await page.getByLabel('Outcome').selectOption('failed');
    await page.getByText('No attempt with this outcome.').waitFor();
    late.resolve();
    await page.getByLabel('Outcome').selectOption('delivered');
    await page.getByRole('rowheader').first().waitFor();
    await page.unroute(/\/attempts\?/);
    await page.route(/\/attempts\?.*failed/, (route) => route.abort());
    await page.getByLabel('Outcome').selectOption('failed');
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('rowheader').count()).toBe(0);
  });

  test('by keyboard alone: nothing that was done sends one back to the beginning of the page', async () => {
    const { page } = await world.open(await link());
    await heading(page, 'Endpoints').waitFor();
    expect(await focused(page), 'a page around it keeps its focus').toBe('BODY');
    await button(page, 'billing').press('Enter');
    await expect.poll(() => focused(page)).toBe('H2');
    await button(page, 'Disable').press('Enter');
    await button(page, 'Disable').waitFor({ state: 'detached' });
    await expect.poll(() => focused(page)).toBe('SELECT');
    await button(page, 'Resume…').press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).press('Enter');
    await button(page, 'Resume…').waitFor({ state: 'detached' });
    await expect.poll(() => focused(page)).toBe('SELECT');
    await button(page, 'Send again…').press('Enter');
    await page.getByLabel('Types').fill('order.refunded');
    await page.getByLabel('Types').press('Enter');
    await page.getByText('There is nothing to send.').waitFor();
  });

  test('a secret without a clipboard, a pattern that was unticked, and names without a blank', async () => {
    const { id } = (await world.call(world.tenantA, 'POST', '/webhooks/subscriptions', {
      name: 'N'.repeat(200),
      description: 'D'.repeat(500),
      patterns: ['order.*'],
      url: `https://example.com/${'u'.repeat(300)}`,
    })) as { id: string };
    const { page } = await world.open(await link(), { viewport: { width: 1280, height: 700 } });
    await page.getByRole('button', { name: /^NNN/ }).waitFor();
    const share = `document.querySelector('.plp-table td').offsetWidth / document.querySelector('.plp-table').offsetWidth`;
    expect(await page.evaluate<number>(share), 'a long name leaves the other columns their place').toBeGreaterThan(0.2);
    await page.setViewportSize({ width: 360, height: 700 });
    await page.getByRole('button', { name: /^NNN/ }).click();
    await page.getByRole('heading', { name: /^NNN/ }).waitFor();
    const wider = () => page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    const dialogWider = () => page.getByRole('dialog').evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
    expect(await wider()).toBe(0);
    await button(page, 'Change').click();
    await page.getByLabel('order.*').click();
    await page.getByText('Choose at least one.').waitFor();
    await page.getByLabel('order.*').check();
    expect(await dialogWider()).toBe(0);
    await close(page);
    await page.evaluate(`Object.defineProperty(navigator, 'clipboard', { value: undefined })`);
    await button(page, 'Rotate the secret…').click();
    await button(page, 'Rotate').click();
    await button(page, 'Copy').click();
    await page.getByText('Select it and copy it by hand').waitFor();
    for (let press = 0; press < 3; press += 1) await page.keyboard.press('Escape');
    expect(await page.getByText(/^whsec_/).count(), 'Escape does not lose a secret that is shown once').toBe(1);
    await button(page, 'I have stored it').click();
    await button(page, 'Delete…').click();
    await page.getByText('Nothing waits for it.').waitFor();
    expect(await dialogWider()).toBe(0);
    await close(page);
    await world.call(world.tenantA, 'DELETE', `/webhooks/subscriptions/${id}`);
  });

  test('on a telephone the types of test events fit the page, controls stand in line, phases in their order, and deprecated types say so', async () => {
    const type = `order.${'long_'.repeat(12)}name`;
    await world.call(world.tenantA, 'PUT', `/event-types/${type}`, {
      schema: { type: 'object' },
      example: {},
      visibility: 'public',
      description: 'Long. '.repeat(60),
    });
    const { page } = await world.open(await link(), { viewport: { width: 390, height: 800 } });
    await button(page, 'billing').click();
    await page.getByRole('option', { name: type }).waitFor({ state: 'attached' });
    await page.getByRole('rowheader').first().waitFor();
    expect(await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    const box = async (of: Locator) => (await of.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const [choice, refresh, row, name] = [
      await box(page.getByLabel('Outcome')),
      await box(button(page, 'Refresh')),
      await box(page.getByRole('row').nth(1)),
      await box(page.getByRole('rowheader').first()),
    ];
    const badge = `document.querySelector('.plp-foot').insertAdjacentHTML('beforeend', '<span class="plp-badge plp-plain">cancelled</span>')`;
    expect(await page.evaluate<string>(`${badge}; getComputedStyle(document.querySelector('.plp-foot .plp-badge')).paddingLeft`)).toBe('8px');
    expect(refresh.y + refresh.height).toBe(choice.y + choice.height);
    expect(name.width, 'the outcome stands below, so that names have the whole line').toBe(row.width);
    await page.getByRole('rowheader').first().getByRole('button').click();
    await page.getByText('webhook-id', { exact: true }).waitFor();
    expect(await page.getByRole('dialog').getByRole('term').allTextContents()).toEqual('Outcome URL At webhook-id dns connect tls wait total'.split(' '));
    await close(page);
    await world.call(world.tenantA, 'PUT', `/event-types/${type}/deprecation`, { message: 'Too long.', successor: 'order.paid' });
    await button(page, 'Change').click();
    await page.getByText('Deprecated: use order.paid.').waitFor();
    const boxes = await Promise.all((await page.locator('.plp-choice > span').all()).map(box));
    expect(boxes.length).toBeGreaterThan(1);
    expect(
      boxes.filter((each, index) => index > 0 && each.y < (boxes[index - 1]?.y ?? 0) + (boxes[index - 1]?.height ?? 0)),
      'choices that overlap',
    ).toEqual([]);
    await close(page);
    await world.call(world.tenantA, 'DELETE', `/event-types/${type}`);
  });

  test('a failure is told with its way out', async () => {
    const { page } = await world.open(await link());
    await button(page, 'Add an endpoint').click();
    await page.getByLabel('Name').fill('billing');
    await page.getByLabel('URL').fill('https://example.com/hooks');
    await page.getByLabel('order.paid').check();
    await button(page, 'Add').click();
    const alert = page.getByRole('alert');
    await alert.getByText('webhooks_name_taken').waitFor();
    expect(await alert.textContent()).toContain('Another endpoint has this nameGive another name, or change the other endpoint.');
    const refused = (label: string) => page.getByLabel(label, { exact: true }).getAttribute('aria-invalid');
    expect([await refused('Name'), await refused('URL')], 'the field that is meant says so').toEqual(['true', null]);
    await page.getByLabel('Name').fill('inside');
    await page.getByLabel('URL').fill('https://10.0.0.1/');
    await button(page, 'Add').click();
    await alert.getByText('webhooks_url_refused').waitFor();
    expect([await refused('Name'), await refused('URL')]).toEqual([null, 'true']);
    await close(page);
    await button(page, 'billing').click();
    await button(page, 'Send again…').click();
    await page.getByLabel('Some, by their ids').check();
    await page.getByLabel('Ids', { exact: true }).fill('01970000-0000-7000-8000-000000000000');
    await button(page, 'Count').click();
    await alert.getByText('webhooks_replay_invalid').waitFor();
    expect(await refused('Ids')).toBe('true');
  });

  test('an endpoint says what waits and until when, and asks before it is sent elsewhere; a new secret is shown', async () => {
    found.length = 0;
    const subscription = { name: 'of the back end', url: 'https://example.com/mistyped', patterns: ['order.#'] };
    const { id } = (await world.call(world.tenantA, 'POST', '/webhooks/subscriptions', subscription)) as { id: string };
    const inTenant = (text: string) => world.plinth.transaction({ tenantId: world.tenantA }, (tx) => tx.query<{ waiting: number }>(text, [id]));
    await inTenant(
      `update plinth_webhooks.lanes set next_at = clock_timestamp() + interval '10 minutes' where tenant_id = plinth_kernel.tenant_id() and subscription_id = $1`,
    );
    for (const type of ['order.paid', 'order.audited']) await world.call(world.tenantA, 'POST', '/events', { type, data: { total: 12 } });
    const { page, faults } = await world.open(await link({ locale: 'en-GB' }));
    for (let waiting = 0; waiting < 2; ) {
      const [row] = await inTenant('select count(*)::integer as waiting from plinth.event_deliveries where subscription_id = $1');
      waiting = row?.waiting ?? 0;
      await page.evaluate('new Promise(requestAnimationFrame)');
    }
    await button(page, 'of the back end').click();
    await page.getByText(/^2 deliveries wait; the next attempt is at /).waitFor();
    await button(page, 'Send a test event').click();
    await page.getByText(/^A test event is the next to be sent, but nothing is sent before /).waitFor();

    await button(page, 'Change').click();
    await page.getByLabel('URL').fill('https://example.com/right');
    await button(page, 'Save').click();
    await page.getByText('1 waiting delivery of a type that is not public will not be sent.').waitFor();
    await look(page, 'narrowing');
    await button(page, 'Save all the same').click();
    await page.getByText('Saved. 1 of what waited will not be sent: the types are not public.').waitFor();
    await page.getByText('order.# (public types only)').waitFor();

    await button(page, 'Disable').click();
    await button(page, 'Resume…').click();
    await page.getByLabel('Drop the 2 that wait, go on with what is new').check();
    await button(page, 'Resume').click();
    await page.getByText('Resumed. 2 dropped, 0 to be sent.').waitFor();

    for (const way of ['v1a', 'v1']) {
      await button(page, 'Change').click();
      await page.getByLabel('Signed by').selectOption(way);
      await button(page, 'Save').click();
      if (way === 'v1a') await page.getByText('Saved.', { exact: true }).waitFor();
    }
    await page.getByText(/^whsec_/).waitFor();
    await button(page, 'I have stored it').click();
    await page.getByText(/^whsec_/).waitFor({ state: 'detached' });
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test('a link for reading only has no buttons that change anything, and another tenant sees nothing of the first', async () => {
    const { page } = await world.open(await link({ capabilities: 'read' }));
    await button(page, 'billing').click();
    await heading(page, 'billing').waitFor();
    await page.getByText('This link is for reading only.').waitFor();
    for (const name of ['Change', 'Disable', 'Delete…', 'Send a test event', 'Rotate the secret…', 'Send again…'])
      expect(await button(page, name).count(), name).toBe(0);
    const other = await world.open(await link({}, world.tenantB));
    await other.page.getByText('No endpoint yet.').waitFor();
  });

  test('a link that was taken back, or is none, leads to a page that says so', async () => {
    found.length = 0;
    const taken = await link();
    const { page } = await world.open(taken);
    await heading(page, 'Endpoints').waitFor();
    await world.call(world.tenantA, 'DELETE', '/webhooks/portal-links');
    await page.reload();
    await page.getByText('The link into the portal was taken back').waitFor();
    const again = await world.open(taken);
    await again.page.getByText('The link was taken back.').waitFor();
    await look(again.page, 'closed');
    const none = await world.open('/portal');
    await none.page.getByText('No link has been opened in this window.').waitFor();
    expect(found).toEqual([]);
  });
});
