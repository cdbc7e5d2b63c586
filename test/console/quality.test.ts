/** Every page, in both themes and two widths: nothing for axe to find, nothing from elsewhere, nothing against the policy. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { consoleDist } from '../../apps/console/build.ts';
import { needs } from '../../packages/plinth/src/testing/needs.ts';
import { axeFaults, openWorld, settled, type World } from './fixture/world.ts';

const browserAt = needs('chromium');

test('the scripts of the console weigh at most 180 KB, compressed', async () => {
  const assets = join(await consoleDist(), 'assets');
  // Those of the portal are for another page.
  const scripts = readdirSync(assets).filter((name) => name.endsWith('.js') && !name.startsWith('portal-'));
  expect(scripts.length).toBeGreaterThan(0);
  const bytes = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(assets, name)), { level: 9 }).length, 0);
  expect(bytes).toBeLessThan(180 * 1024);
});

const NAVIGATION = 'nav[aria-label="Main"]';

/** What has the focus without showing it, as text; runs in the page. */
const unseenFocus = `(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return '';
  const shows = [undefined, '::after'].some((part) => {
    const style = getComputedStyle(element, part);
    return style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) > 0;
  });
  return shows ? '' : element.outerHTML.slice(0, 120);
})()`;

/** Resolves when the new size and colours are drawn; runs in the page. */
const drawn = 'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))';

/** As a link does, without loading the document anew; lists and records ask for their rows, and the page is ready again when it has them. */
const follow = (page: Page, address: string): Promise<unknown> =>
  page.evaluate(`{
    delete document.documentElement.dataset.ready;
    history.pushState(null, '', ${JSON.stringify(address)});
    dispatchEvent(new PopStateEvent('popstate'));
  }`);

describe.runIf(browserAt.available)('every page', { timeout: 600_000 }, () => {
  let world: World;
  /** Names and addresses; filled from what the API says, so that a list that is added is looked at. */
  const pages: [string, string][] = [];
  beforeAll(async () => {
    world = await openWorld(browserAt.at);
    const made = (await world.call(world.tenantA, 'POST', '/webhooks/subscriptions', { name: 'crm', patterns: ['demo.order.*'], url: world.receiver.url })) as {
      secret: string;
    };
    world.receiver.secrets.push(made.secret);
    const { correlation_id: correlationId } = (await world.call(world.tenantA, 'POST', '/demo/orders', {})) as { correlation_id: string };
    await world.receiver.waitFor(2, 30_000);
    const { lists } = (await world.call(world.tenantA, 'GET', '/lists')) as { lists: { module: string; list: string }[] };
    pages.push(
      ['overview', '/'],
      ['trace', `/trace/${correlationId}`],
      ['no such page', '/nowhere'],
      ['no such trace', '/trace/01900000-0000-7000-8000-000000000000'],
    );
    for (const { module, list } of lists) {
      pages.push([`${module} ${list}`, `/lists/${module}/${list}`]);
      const { rows } = (await world.call(world.tenantA, 'GET', `/lists/${module}/${list}?limit=1`)) as { rows: { id: string }[] };
      if (rows[0]) pages.push([`${module} ${list} detail`, `/lists/${module}/${list}/${encodeURIComponent(rows[0].id)}`]);
    }
    const { rows } = (await world.call(world.tenantA, 'GET', `/traces/${correlationId}`)) as { rows: { id: string; kind: string }[] };
    const chosen = rows.find((row) => row.kind === 'delivery attempt');
    pages.push(['trace with a record', `/trace/${correlationId}?row=${chosen?.id}`], ['filter that fails', `/lists/parcels/parcels?q=nonsense:1`]);
  });
  afterAll(() => world?.close());

  /**
   * Each page is shown once. The dark theme changes only colours, a narrow window only sizes: there the rules about those are asked. Lists are made of
   * the same parts, and so are their details: what only a wide dark window shows, and the navigation, which is as long as any list and the same
   * beside all of them, is looked at in one of each and in every page made by hand.
   */
  const colours = ['color-contrast', 'link-in-text-block'];
  const looks = [
    { theme: 'light', width: 1280, rules: undefined, everywhere: true },
    { theme: 'dark', width: 375, rules: [...colours, 'target-size', 'scrollable-region-focusable'], everywhere: true },
    { theme: 'dark', width: 1280, rules: colours, everywhere: false },
  ] as const;
  const isModel = (path: string): boolean => !path.startsWith('/lists/') || path.startsWith('/lists/audit/entries');

  test('axe finds nothing on any page, dark or light, wide or narrow, and nothing comes from elsewhere', async () => {
    expect(pages.length).toBeGreaterThan(15);
    const { page, faults } = await world.visit('/', { reducedMotion: 'reduce', live: false });
    const found: string[] = [];
    for (const [name, path] of pages) {
      await page.setViewportSize({ width: 1280, height: 900 });
      const address = `${world.origin}/console${path}${path.includes('?') ? '&' : '?'}tenant=${world.tenantA}`;
      if (path.startsWith('/lists/')) await follow(page, address);
      else await page.goto(address);
      await settled(page);
      for (const { theme, width, rules } of looks.filter(({ everywhere }) => everywhere || isModel(path))) {
        await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width, height: 900 });
        await page.locator(theme === 'dark' ? 'html.dark' : 'html:not(.dark)').waitFor({ state: 'attached' });
        await page.evaluate(drawn);
        found.push(...(await axeFaults(page, rules, isModel(path) ? undefined : NAVIGATION)).map((fault) => `${name} ${theme} ${width}: ${fault}`));
        const over = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
        if (over > 0) found.push(`${name} ${width}: wider than the window by ${over}`);
      }
    }
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test.each(['light', 'dark'] as const)('axe finds nothing in dialogs in the %s theme', async (theme) => {
    const { page, faults } = await world.visit('/', { colorScheme: theme, reducedMotion: 'reduce' });
    const found: string[] = [];
    const look = async (name: string): Promise<void> => {
      await page.getByRole('dialog').waitFor();
      found.push(...(await axeFaults(page)).map((fault) => `${name}: ${fault}`));
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    };
    await page.keyboard.press('?');
    await look('help');
    await page.keyboard.press('/');
    await page.keyboard.type('par');
    await page
      .getByRole('dialog')
      .getByRole('link', { name: /^Parcels/ })
      .waitFor();
    await look('find');
    await page.getByRole('button', { name: /^Tenant/ }).click();
    await look('tenant');
    await page.setViewportSize({ width: 375, height: 800 });
    await page.getByRole('button', { name: 'Menu' }).click();
    await look('menu');
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Plinth' }).waitFor();
    found.push(...(await axeFaults(page)).map((fault) => `sign in: ${fault}`));
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test.each(['light', 'dark'] as const)('axe finds nothing in the pages of the API in the %s theme', async (colorScheme) => {
    const found: string[] = [];
    for (const path of ['/docs', '/docs/errors', '/docs/errors/kernel_not_found']) {
      const { page, faults } = await world.open(path, { colorScheme });
      found.push(...(await axeFaults(page)).map((fault) => `${path}: ${fault}`), ...faults);
    }
    expect(found).toEqual([]);
  });

  test('the theme follows the system until one is chosen, and the choice lasts', async () => {
    const { page } = await world.visit('/', { colorScheme: 'dark' });
    const isDark = (): Promise<boolean> => page.evaluate<boolean>(`document.documentElement.classList.contains('dark')`);
    expect(await isDark()).toBe(true);
    await page.getByRole('button', { name: 'Theme: as the system' }).click();
    await page.getByRole('button', { name: 'Theme: light' }).waitFor();
    expect(await isDark()).toBe(false);
    await page.reload();
    await settled(page);
    expect(await isDark()).toBe(false);
    await page.getByRole('button', { name: 'Theme: light' }).click();
    expect(await isDark()).toBe(true);
  });

  test('the keyboard alone reaches the content, walks a list, opens a row, and every focus can be seen', async () => {
    const { page } = await world.visit('/lists/audit/entries');
    await page.keyboard.press('Tab');
    expect(await page.locator(':focus').textContent()).toBe('Skip to content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate<boolean>(`location.hash === '#main' || document.activeElement?.id === 'main'`)).toBe(true);
    await page.keyboard.press('j');
    const first = await page.evaluate<string>(`document.activeElement?.getAttribute('href')`);
    await page.keyboard.press('j');
    expect(await page.evaluate<string>(`document.activeElement?.getAttribute('href')`)).not.toBe(first);
    await page.keyboard.press('k');
    expect(await page.evaluate<string>(`document.activeElement?.getAttribute('href')`)).toBe(first);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/entries\/[0-9a-f-]{36}/);
    await page.getByRole('link', { name: 'Audit log' }).first().waitFor();
    const unseen: string[] = [];
    for (let step = 0; step < 25; step += 1) {
      await page.keyboard.press('Tab');
      const seen = await page.evaluate<string>(unseenFocus);
      if (seen) unseen.push(seen);
    }
    expect(unseen).toEqual([]);
  });

  test('a step by the menu of a narrow window ends on the page, with the menu closed', async () => {
    const { page } = await world.visit('/', { viewport: { width: 375, height: 800 } });
    await page.getByRole('button', { name: 'Menu' }).click();
    await page.getByRole('dialog').getByRole('link', { name: 'Audit log' }).press('Enter');
    await page.getByRole('heading', { name: 'Audit log' }).waitFor();
    await expect.poll(() => page.evaluate<string>('document.activeElement.id')).toBe('main');
    expect(await page.getByRole('dialog').count()).toBe(0);
  });

  test('a dialog that was opened while nothing had the focus leaves the keyboard on the page', async () => {
    const { page } = await world.visit('/');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await expect.poll(() => page.evaluate<string>('document.activeElement.id')).toBe('main');
    await page.evaluate(drawn);
    expect(await page.evaluate<string>('document.activeElement.id')).toBe('main');
  });

  test('the list that a link leads to is in sight in the navigation', async () => {
    const { page } = await world.visit('/lists/webhooks/attempts', { viewport: { width: 1280, height: 400 } });
    const open = page.locator(`${NAVIGATION} [aria-current="page"]`);
    await expect.poll(async () => (await open.boundingBox())?.y ?? 0).toBeLessThan(400);
    expect(await page.evaluate<number>('scrollY')).toBe(0);
  });

  test('single keys can be switched off; Ctrl K stays', async () => {
    const { page } = await world.visit('/');
    await page.keyboard.press('?');
    await page.getByRole('checkbox').click();
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
  });
});
