/** Lists, details, filters, pages and actions of a module that the console's code has never heard of. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modules } from '../../packages/plinth/src/registry.gen.ts';
import { needs } from '../../packages/plinth/src/testing/needs.ts';
import { axeFaults, openWorld, settled, type World } from './fixture/world.ts';

const browserAt = needs('chromium');
const list = '/lists/parcels/parcels';
/** Machines may be busy with other tests. */
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 });

async function makeParcels(world: World, tenantId: string, name: string, count: number): Promise<void> {
  await world.plinth.transaction({ tenantId }, async (tx) => {
    await tx.query(
      `insert into plinth_parcels.parcels (tenant_id, label, status, weight_grams, tags, address, before, after)
       select $1, $2 || n, case n % 5 when 0 then 'failed' when 1 then 'delivered' else 'pending' end, n * 10, array['a', 'b'], jsonb_build_object('city', 'Ulm', 'lines', jsonb_build_array('x', n)),
         case when n = 1 then '{"status": "pending", "weight": 9}'::jsonb end, case when n = 1 then '{"status": "delivered", "weight": 9}'::jsonb end
       from generate_series(1, $3) n`,
      [tenantId, name, count],
    );
  });
}

/** What the keyboard is at, by name or text. */
const focused = (page: Page): Promise<string> =>
  page.evaluate<string>(`(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).slice(0, 40)`);

const told = async (world: World, label: string): Promise<string[]> => {
  const [row] = await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
    tx.query<{ tags: string[] }>('select tags from plinth_parcels.parcels where label = $1', [label]),
  );
  return row?.tags ?? [];
};

test('no module is named in the code of the console', () => {
  const source = join(import.meta.dirname, '../../apps/console/src');
  const files = readdirSync(source, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'));
  expect(files.length).toBeGreaterThan(30);
  const naming = files.flatMap((entry) => {
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '');
    return Object.keys(modules)
      .filter((name) => new RegExp(`['"\`/]${name}['"\`/.]`).test(text))
      .map((name) => `${entry.name} names ${name}`);
  });
  expect(naming).toEqual([]);
});

describe.runIf(browserAt.available)('records', { timeout: 180_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(browserAt.at);
    await makeParcels(world, world.tenantA, 'box ', 120);
    await makeParcels(world, world.tenantB, 'foreign ', 3);
  });
  afterAll(() => world?.close());

  test('a module with a list gets its entry in the navigation, its table and its pages, newest first', async () => {
    const { page, faults } = await world.visit('/');
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Parcels' }).click();
    await page.getByRole('heading', { name: 'Parcels' }).waitFor();
    const rows = page.locator('tbody tr');
    await rows.first().waitFor();
    expect(await rows.count()).toBe(50);
    expect(await page.getByRole('columnheader').allTextContents()).toEqual([
      'Label',
      'Status',
      'Weight grams',
      'Insured',
      'Tags',
      'Address',
      'Created at',
      'Actions',
    ]);
    expect(await page.locator('tbody').textContent()).not.toContain('foreign');
    const first = await rows.first().locator('td').first().textContent();
    await page.getByRole('button', { name: 'Older' }).click();
    await page.waitForURL(/cursor=/);
    await eventually(() => rows.first().locator('td').first().textContent()).not.toBe(first);
    await page.getByRole('button', { name: 'Older' }).click();
    await eventually(() => rows.count()).toBe(20);
    expect(await page.getByRole('button', { name: 'Older' }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Newer' }).click();
    await eventually(() => rows.count()).toBe(50);
    await page.getByRole('button', { name: 'Newer' }).click();
    await eventually(() => rows.first().locator('td').first().textContent()).toBe(first);
    expect(page.url()).not.toContain('cursor=');
    expect(faults).toEqual([]);
  });

  test('a filter stands in the address and gives the same page to whoever opens it', async () => {
    const { page, context } = await world.visit(list);
    await page.getByRole('textbox', { name: 'Filter Parcels' }).fill('status:failed label:"box 5"');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.searchParams.get('q') === 'status:failed label:"box 5"');
    await eventually(() => page.locator('tbody tr').count()).toBe(1);
    const other = await context.newPage();
    await other.goto(page.url());
    await settled(other);
    expect(await other.locator('tbody tr').count()).toBe(1);
    await other.getByRole('button', { name: 'Remove label:"box 5"' }).click();
    await eventually(() => other.locator('tbody tr').count()).toBe(24);
    await other.getByRole('button', { name: 'label', exact: true }).click();
    expect(await other.getByRole('textbox', { name: 'Filter Parcels' }).inputValue()).toBe('status:failed label:');
  });

  test('a filter that means nothing is answered with a sentence and a way out', async () => {
    const { page } = await world.visit(`${list}?q=nonsense:1`);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/nonsense/);
    // A read wrote nothing that a trace could show; its id is for the log of the server.
    expect(await alert.getByRole('link').count()).toBe(0);
    expect(await alert.textContent()).toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
    await page.goto(`${world.origin}/console${list}?q=label:nothing&tenant=${world.tenantA}`);
    await page.getByText('Nothing matches this filter').waitFor();
    await page.getByRole('button', { name: 'Remove the filter' }).click();
    await eventually(() => page.locator('tbody tr').count()).toBe(50);
  });

  test('a row has a page with every column, its JSON and what changed', async () => {
    const { page, faults } = await world.visit(`${list}?q=label:"box 1"`);
    await page.getByRole('link', { name: 'box 1', exact: true }).click();
    await page.getByRole('heading', { name: 'box 1', exact: true }).waitFor();
    const names = await page.locator('dt').allTextContents();
    expect(names).toEqual(expect.arrayContaining(['Id', 'Tenant id', 'Weight grams', 'Address', 'Causation id', 'Xact', 'Created at']));
    expect(names).not.toContain('Before');
    expect(await page.getByRole('table', { name: 'What changed' }).textContent()).toMatch(/status.*pending.*delivered/);
    expect(await page.getByText('1 field unchanged').count()).toBe(1);
    await page.getByRole('link', { name: 'All with status delivered' }).click();
    await page.waitForURL((url) => url.searchParams.get('q') === 'status:delivered');
    await page.goto(`${world.origin}/console${list}/01900000-0000-7000-8000-000000000000?tenant=${world.tenantA}`);
    await page.getByRole('heading', { name: /^Parcels has no/ }).waitFor();
    await page.goto(`${world.origin}/console/lists/access/users/nobody@acme.test?tenant=${world.tenantA}`);
    await page.getByRole('heading', { name: 'Members has no nobody@acme.test' }).waitFor();
    expect(faults).toEqual([]);
  });

  test('a row tells why it is as it is while its card says so, and not what it has no word for', async () => {
    const { rows } = (await world.call(world.tenantA, 'GET', '/lists/parcels/parcels?q=label:"box 8"')) as { rows: { id: string }[] };
    const { page, faults } = await world.visit(`${list}/${rows[0]?.id}`);
    const why = page.getByRole('region', { name: 'Why it has not come' });
    await why.getByText('It waits for the van.').waitFor();
    expect(await why.getByText('It waits for the van.').count()).toBe(1);
    expect(await why.textContent()).toMatch(/The road is closed\. Until .*2031.*It can start .*2031/);
    expect(await axeFaults(page)).toEqual([]);
    await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
      tx.query(`update plinth_parcels.parcels set status = 'delivered' where id = $1`, [rows[0]?.id]),
    );
    await why.waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
  });

  test('a dangerous action asks first, happens, and is told; a refused one shows the way out', async () => {
    const { page } = await world.visit(`${list}?q=label:"box 7"`);
    const row = page.locator('tbody tr');
    await row.getByRole('button', { name: 'Deliver' }).click();
    const dialog = page.getByRole('dialog');
    // Who is asked sees what it is called, not a uuid alone.
    expect(await dialog.getByRole('paragraph').textContent()).toMatch(/^Parcels: box 7 [0-9a-f-]{36}$/);
    await dialog.getByRole('button', { name: 'Keep as it is' }).click();
    expect(await row.getByText('pending').count()).toBe(1);
    await row.getByRole('button', { name: 'Deliver' }).click();
    await dialog.getByRole('button', { name: 'Deliver' }).click();
    await page.getByText('Deliver: done').waitFor();
    await row.getByText('delivered').waitFor();
    expect(await row.getByRole('button', { name: 'Deliver' }).count()).toBe(0);
    // Its button is gone: the keyboard is at the row, and not at the beginning of the page.
    await eventually(() => row.locator(':focus').count()).toBe(1);
    await row.getByRole('button', { name: 'Recall' }).click();
    await dialog.getByText('The parcel is lost').waitFor();
    expect(await dialog.textContent()).toContain('Look under the counter.');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });

  test('an action with fields asks for them in a dialog, by keyboard alone, and sends what they mean', async () => {
    const { page, faults } = await world.visit(`${list}?q=label:"box 10"`);
    const row = page.locator('tbody tr');
    const dialog = page.getByRole('dialog');
    const [tags = ''] = await told(world, 'box 10');
    expect(tags).toBe('a');
    await row.getByRole('button', { name: 'Send' }).focus();
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    expect(await dialog.getByLabel('At', { exact: true }).count(), 'asked only when it is fast').toBe(0);
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByLabel('How').focus();
    await page.keyboard.press('F');
    expect(await dialog.getByLabel('At', { exact: true }).inputValue(), 'of the row').toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d$/);
    await dialog.getByLabel('At', { exact: true }).fill('2026-01-02T03:04');
    await dialog.getByLabel('To', { exact: true }).fill('ana, bob');
    await dialog.getByRole('button', { name: 'Count' }).press('Enter');
    await dialog.getByText('2 would get it').waitFor();
    await dialog.getByLabel('Weight').fill('101');
    await dialog.getByLabel('To', { exact: true }).fill('ana, bob\ncy');
    expect(await dialog.getByText('would get it').count(), 'what was counted for others is not shown').toBe(0);
    await dialog.getByLabel('Note').fill('{"fragile": true}');
    await dialog.getByLabel('Insured').focus();
    await page.keyboard.press('Space');
    await dialog.getByLabel('Weight').focus();
    await page.keyboard.press('Enter');
    await dialog.getByRole('alert').waitFor();
    const weight = dialog.getByRole('spinbutton', { name: 'Weight' });
    expect(await weight.getAttribute('aria-invalid')).toBe('true');
    const said = (await weight.getAttribute('aria-describedby')) ?? '';
    expect(await page.locator(`[id="${said.split(' ').at(-1)}"]`).textContent()).toMatch(/^Too big/);
    expect(await axeFaults(page)).toEqual([]);
    await page.mouse.click(5, 5);
    expect(await dialog.count(), 'a click beside it loses nothing').toBe(1);
    await dialog.getByLabel('Weight').fill('1.5');
    await page.keyboard.press('Enter');
    await page.getByText('Send: done').waitFor();
    await eventually(() => focused(page)).toBe('Send');
    const at = await page.evaluate<string>(`new Date('2026-01-02T03:04').toISOString()`);
    const [sent = ''] = await told(world, 'box 10');
    expect(JSON.parse(sent)).toEqual({ how: 'fast', at, weight: 1.5, to: ['ana', 'bob', 'cy'], note: { fragile: true }, insured: true });

    await row.getByRole('button', { name: 'Send' }).click();
    await dialog.getByRole('button', { name: 'Send' }).click();
    await page.getByText('Send: done').last().waitFor();
    await expect.poll(async () => JSON.parse((await told(world, 'box 10'))[0] ?? '')).toEqual({ how: 'slow', insured: false });
    expect(faults).toEqual([]);
  });

  test('the keyboard stays in the filter, and what is typed on after Enter is text', async () => {
    const { page } = await world.visit(list);
    await page.keyboard.press('f');
    await page.keyboard.type('status:failed');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=status:failed/);
    await eventually(() => page.locator('tbody tr').count()).toBe(24);
    await page.keyboard.type(' h');
    expect(await page.getByRole('textbox', { name: 'Filter Parcels' }).inputValue()).toBe('status:failed h');
    await page.getByRole('button', { name: 'Remove status:failed' }).press('Enter');
    await eventually(() => page.locator('tbody tr').count()).toBe(50);
    await eventually(() => focused(page)).toBe('Filter Parcels');
    expect(await page.getByRole('textbox', { name: 'Filter Parcels' }).inputValue()).toBe('');
  });

  test('an action whose answer got lost and that is tried again is done once', async () => {
    const { page } = await world.visit(`${list}?q=label:"box 15"`);
    const replayed: (string | undefined)[] = [];
    await page.route(/\/api\/trpc\//, async (route) => {
      const answer = await route.fetch();
      replayed.push(answer.headers()['idempotency-replayed']);
      return replayed.length === 1 ? route.abort() : route.fulfill({ response: answer });
    });
    await page.locator('tbody').getByRole('button', { name: 'Send' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Send' }).click();
    await dialog.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('Send: done').waitFor();
    expect(replayed).toEqual([undefined, 'true']);
  });

  test('rows do not move under the pointer: what is new comes when it leaves, and a row that went has no buttons', async () => {
    await makeParcels(world, world.tenantA, 'still ', 3);
    const { page } = await world.visit(`${list}?q=label:still* status:pending`);
    const names = () => page.locator('tbody [data-row-link]').allTextContents();
    const before = await names();
    expect(before.toSorted()).toEqual(['still 2', 'still 3']);
    await page.locator('tbody tr').first().hover();
    await world.plinth.transaction({ tenantId: world.tenantA }, (tx) =>
      tx.query(`update plinth_parcels.parcels set status = 'delivered' where label = $1`, [before[0]]),
    );
    await makeParcels(world, world.tenantA, 'still', 2);
    await page.getByText('1 more when the pointer leaves the rows').waitFor();
    expect(await names()).toEqual(before);
    expect(await page.locator('tbody tr').first().getByRole('button', { name: 'Deliver' }).count()).toBe(0);
    await page.mouse.move(0, 0);
    await eventually(names).toEqual(['still2', before[1]]);
  });

  test('names of 500 signs without a blank fit a telephone', async () => {
    await makeParcels(world, world.tenantA, 'W'.repeat(500), 1);
    const { rows } = (await world.call(world.tenantA, 'GET', `/lists/parcels/parcels?q=label:WWW*`)) as { rows: { id: string }[] };
    const paths = [
      `${list}?q=label:WWW*`,
      `${list}/${rows[0]?.id}`,
      `${list}?q=label:${'z'.repeat(300)}`,
      `${list}?q=${'y'.repeat(300)}:1`,
      `/lists/access/users/${'n'.repeat(180)}`,
    ];
    const { page } = await world.visit('/', { viewport: { width: 320, height: 700 } });
    for (const path of paths) {
      await page.goto(`${world.origin}/console${path}${path.includes('?') ? '&' : '?'}tenant=${world.tenantA}`);
      await settled(page);
      expect(await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth'), path.slice(0, 60)).toBe(0);
    }
  });

  test('an export has the filter of the list', async () => {
    const { page } = await world.visit(`${list}?q=status:failed`);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV', exact: true }).click()]);
    expect(download.suggestedFilename()).toBe('parcels-parcels.csv');
    const lines = readFileSync(await download.path(), 'utf8')
      .trim()
      .split('\r\n');
    expect(lines).toHaveLength(25);
    expect(lines[0]).toContain('weight_grams');
  });

  test('the box finds a record by the beginning of its id, and a list by its name', async () => {
    const { rows } = (await world.call(world.tenantA, 'GET', '/lists/parcels/parcels?q=label:"box 9"')) as { rows: { id: string }[] };
    const id = rows[0]?.id ?? '';
    const { page } = await world.visit('/');
    await page.keyboard.press('Control+k');
    await page.keyboard.type(id);
    await page
      .getByRole('dialog')
      .getByRole('link', { name: /^box 9/ })
      .waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'box 9' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('parc');
    await page
      .getByRole('dialog')
      .getByRole('link', { name: /^Parcels/ })
      .waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/lists\/parcels\/parcels\?/);
    await page.keyboard.press('/');
    await page.keyboard.type('ffffffff-0000');
    await page.getByText('Nothing in this tenant begins with').waitFor();
  });

  test('the tenant is part of the address; all tenants show whose row each is', async () => {
    const { page } = await world.visit(`${list}?tenant=${world.tenantB}`);
    expect(await page.locator('tbody tr').count()).toBe(3);
    await page.getByRole('button', { name: /^Tenant/ }).click();
    await page.getByLabel('Look into').selectOption({ label: 'All tenants' });
    await page.getByRole('button', { name: 'Use' }).click();
    await page.waitForURL(/tenant=all/);
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Parcels' }).click();
    await page.getByRole('columnheader', { name: 'Tenant' }).waitFor();
    expect(page.url()).toContain('tenant=all');
    expect(new Set(await page.locator('tbody td[title]').allTextContents())).toContain('Tenant B');
  });

  test('looking at all tenants, a link leads to the record of its own tenant, also where both use the same id', async () => {
    for (const [tenant, name] of [
      [world.tenantA, 'Ann of A'],
      [world.tenantB, 'Ann of B'],
    ] as const)
      await world.call(tenant, 'POST', '/users', { id: 'ann', name });
    for (const name of ['Ann of A', 'Ann of B']) {
      const { page, faults } = await world.visit('/lists/access/users?tenant=all&q=id:ann');
      await page.getByRole('row', { name }).getByRole('link').first().click();
      await page.getByRole('definition').getByText(name, { exact: true }).waitFor();
      expect(faults).toEqual([]);
    }
  });

  test('looking at all tenants, what belongs to the installation can be paused', async () => {
    const { page } = await world.visit('/lists/events/consumers?tenant=all');
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('dialog').getByRole('textbox').fill('a test');
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Pause: done').waitFor();
  });

  test('who may only read is offered no action, and hears why a list is not shown', async () => {
    const keyWith = async (scopes: string[]) => ((await world.call(world.tenantA, 'POST', '/keys', { name: 'reader', scopes })) as { secret: string }).secret;
    const { page } = await world.open(list.replace(/^/, '/console'));
    await page.getByLabel('API key').fill(await keyWith(['parcels.read']));
    await page.keyboard.press('Enter');
    await page.getByRole('columnheader', { name: 'Label' }).waitFor();
    expect(await page.getByRole('columnheader', { name: 'Actions' }).count()).toBe(0);
    expect(await page.getByRole('button', { name: 'Recall' }).count()).toBe(0);
    await page.goto(`${world.origin}/console/lists/jobs/jobs`);
    await page.getByText('Your credential may lack the permission').waitFor();
  });

  test('a value with signs that mean something in filters leads to the rows that have it', async () => {
    await makeParcels(world, world.tenantA, 'a, "b" * ', 1);
    const { page } = await world.visit(`${list}?q=label:"a, \\"b\\" * 1"`);
    await page.locator('[data-row-link]').click();
    await page.getByRole('link', { name: 'All with label a, "b" * 1' }).click();
    await page.waitForURL((url) => url.searchParams.get('q') === 'label:"a, \\"b\\" * 1"');
    await eventually(() => page.locator('tbody tr').count()).toBe(1);
    expect(await page.getByRole('button', { name: /^Remove/ }).count(), 'one filter').toBe(1);
  });

  test('an export takes as long as it takes', async () => {
    const { page } = await world.visit('/');
    // The page's own limits of time, at once; and a file that ends after them.
    await page.addInitScript(`{
      const limits = [];
      AbortSignal.timeout = () => { const limit = new AbortController(); limits.push(limit); return limit.signal; };
      const whole = Response.prototype.blob;
      Response.prototype.blob = function () { for (const limit of limits) limit.abort(new DOMException('', 'TimeoutError')); return whole.call(this); };
    }`);
    await page.goto(`${world.origin}/console${list}?tenant=${world.tenantA}`);
    await settled(page);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV', exact: true }).click()]);
    expect(await download.path()).toBeTruthy();
  });

  test('a live list shows new rows by itself; a paused one waits', async () => {
    const { page } = await world.visit(`${list}?q=label:new*`);
    await page.getByText('Nothing matches this filter').waitFor();
    await makeParcels(world, world.tenantA, 'new ', 1);
    await eventually(() => page.locator('tbody tr').count()).toBe(1);
    await page.keyboard.press('l');
    await page.getByRole('switch', { name: 'Live', checked: false }).waitFor();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await makeParcels(world, world.tenantA, 'new ', 1);
    // Two of its intervals, by the page's own clock.
    await page.evaluate('new Promise((resolve) => setInterval(resolve, 6500))');
    expect(asked).toEqual([]);
  });
});
