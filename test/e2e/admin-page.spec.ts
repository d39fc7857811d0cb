import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { type Browser, openBrowser, openTab, type Page, SCREENS, type Tab } from '../support/browser.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { startNginx } from '../support/nginx.js';
import { describeWith } from '../support/program.js';

/** The path under which a proxy serves the app. */
const PATH = '/floodgate';
const MARKUP = '<img src=x onerror=alert(1)>';

/** Types an address and a password in, and sends them. */
async function enter(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signed in, at the live figures. */
async function openPage(browser: Browser, url: string, screen: keyof typeof SCREENS = 'laptop'): Promise<Tab> {
  const tab = await openTab(browser, new URL(url).origin, screen);
  await tab.page.goto(`${url}/admin`);
  await enter(tab.page, ADMIN.email, ADMIN.password);
  await tab.page.getByRole('link', { name: 'Live' }).waitFor();
  return tab;
}

const open = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).click();
/** Texts of the first cells of a table's rows. */
const firstCells = (page: Page) => page.locator('tbody tr td:first-child').allTextContents();
const isTooWide = (page: Page) => page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
const tokensIn = (page: Page): Promise<{ accessToken: string; refreshToken: string } | null> =>
  page.evaluate("JSON.parse(sessionStorage.getItem('floodgate-tokens'))");

/** The figure of a tile: the number that it begins with. */
async function tile(page: Page, title: string): Promise<number> {
  const text = await page
    .locator('.tile', { has: page.getByText(title, { exact: true }) })
    .locator('output')
    .textContent();
  return Number.parseFloat((text ?? '').replaceAll(',', ''));
}

describeWith('chromium', 'the page for admins, in a browser,', () => {
  let app: TestApp;
  let browser: Browser;
  beforeAll(async () => {
    const settings = { PUBLIC_URL: `https://api.example.com${PATH}`, REGISTER_LIMIT: '10' };
    [app, browser] = await Promise.all([startApp(settings), openBrowser()]);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await app?.close();
  });

  it.each(Object.keys(SCREENS) as (keyof typeof SCREENS)[])(
    'shows collections, records and users, at the width of a %s',
    async (screen) => {
      const set = await makeCollection(app.admin, 'private');
      for (let n = 1; n <= 23; n++)
        await makeRecord(app.admin, set, { n, said: MARKUP, exact: 0.1, much: 'word '.repeat(50) });
      const email = `ada-${screen}@example.com`;
      must(
        201,
        await app.client.post('/api/v1/auth/register', { email, password: 'correct-horse-battery', name: MARKUP }),
      );
      const { page, complaints } = await openPage(browser, app.url, screen);
      expect(await isTooWide(page)).toBe(false);

      await open(page, 'Collections');
      await open(page, set.name);
      await page.getByText('Page 1').waitFor();
      expect(await page.getByRole('columnheader').allTextContents()).toEqual(
        expect.arrayContaining(['Record', 'Occurred', 'n', 'said', 'exact', 'much']),
      );
      expect(await firstCells(page)).toHaveLength(20);
      expect(await isTooWide(page)).toBe(false);
      await page.getByRole('button', { name: 'Next' }).click();
      await page.getByText('Page 2').waitFor();
      expect(await firstCells(page)).toHaveLength(3);
      expect(await page.getByRole('button', { name: 'Next' }).isDisabled()).toBe(true);
      await page.getByRole('button', { name: 'Previous' }).click();
      await page.getByText('Page 1').waitFor();
      await page.getByLabel('Data contains').fill('{"n":7}');
      await page.getByRole('button', { name: 'Show' }).click();
      await until(async () => (await firstCells(page)).length === 1);
      await page.locator('tbody button').click();
      expect(JSON.parse((await page.locator('dialog pre').textContent()) as string)).toMatchObject({
        data: { n: 7, said: MARKUP },
      });
      expect(await isTooWide(page)).toBe(false);
      await page.getByRole('button', { name: 'Close' }).click();
      await page.getByLabel('Data contains').fill('nonsense');
      await page.getByRole('button', { name: 'Show' }).click();
      await page.getByText('A parameter is not valid. where must be a JSON object').waitFor();
      await page.getByLabel('Data contains').fill('');
      await page.getByRole('button', { name: 'Show' }).click();
      await until(async () => (await firstCells(page)).length === 20 && (await page.getByRole('status').count()) === 0);

      await open(page, 'Users');
      await page.getByLabel('Address begins with').fill('ada-');
      await page.getByRole('button', { name: 'Show' }).click();
      await until(async () => (await firstCells(page)).every((text) => text.startsWith('ada-')));
      expect(await firstCells(page)).toContain(email);
      expect(await page.getByRole('cell', { name: MARKUP }).count()).toBeGreaterThan(0);
      expect(await isTooWide(page)).toBe(false);
      expect(await page.locator('img').count()).toBe(0);
      expect(complaints).toEqual([]);
    },
    60_000,
  );

  it.each(Object.keys(SCREENS) as (keyof typeof SCREENS)[])(
    'shows figures that move with the load, at the width of a %s',
    async (screen) => {
      const { path } = await makeRecord(app.admin, await makeCollection(app.admin));
      const { page, complaints } = await openPage(browser, app.url, screen);
      await until(async () => (await tile(page, 'Requests')) === 0);
      const drawn = () => page.locator('canvas').first().screenshot();
      const before = await drawn();
      let isOver = false;
      const load = (async () => {
        while (!isOver) await Promise.all([path, path, path, `${path}0`].map((one) => app.client.get(one)));
      })();
      const row = page.getByRole('row').filter({ hasText: 'GET /api/v1/data/:collection/records/:id' });
      await row.waitFor();
      const [, requests, , , refused] = (await row.getByRole('cell').allTextContents()).map((text) =>
        Number(text.replaceAll(',', '')),
      );
      await until(async () => (await tile(page, 'Requests')) > 0 && (await tile(page, 'Kept')) > 0);
      expect(await drawn()).not.toEqual(before);
      expect(await isTooWide(page)).toBe(false);
      isOver = true;
      await load;
      // One request in four was for a record that does not exist.
      expect((refused as number) / (requests as number)).toBeCloseTo(0.25, 1);
      await until(async () => (await tile(page, 'Requests')) === 0);
      expect(complaints).toEqual([]);
    },
    60_000,
  );

  it('asks for figures only while they are shown', async () => {
    const { page } = await openPage(browser, app.url);
    let asked = 0;
    page.on('request', (request) => {
      if (request.url() === `${app.url}/metrics`) asked++;
    });
    await until(async () => asked > 1);
    await open(page, 'Users');
    await page.getByText('Page 1').waitFor();
    asked = 0;
    await page.waitForTimeout(2500);
    expect(asked).toBe(0);
    await open(page, 'Live');
    await until(async () => asked > 1);
  }, 60_000);

  it('does not let a user in who is not an admin', async () => {
    const { page, complaints } = await openTab(browser, app.url, 'laptop');
    await app.user('bob');
    await page.goto(`${app.url}/admin`);
    await enter(page, 'bob@example.com', 'password-of-bob');
    await page.getByText('bob@example.com is not an admin.').waitFor();
    expect([await page.getByRole('link', { name: 'Users' }).count(), await tokensIn(page)]).toEqual([0, null]);
    await enter(page, ADMIN.email, 'not the password');
    await page.getByRole('status').getByText('password').waitFor();
    expect(await tokensIn(page)).toBeNull();
    expect(complaints).toEqual([]);
  }, 60_000);

  it('refreshes its tokens when they have expired, and ends its session on sign-out', async () => {
    const { page, complaints } = await openPage(browser, app.url);
    await page.evaluate(
      "sessionStorage.setItem('floodgate-tokens', sessionStorage.getItem('floodgate-tokens').replace(/accessToken\":\"[^\"]*/, 'accessToken\":\"ended'))",
    );
    await page.reload();
    await open(page, 'Users');
    await page.getByText('Page 1').waitFor();
    const { accessToken, refreshToken } = (await tokensIn(page)) as { accessToken: string; refreshToken: string };
    expect(accessToken).not.toBe('ended');
    expect(await page.evaluate('[localStorage.length, document.cookie]')).toEqual([0, '']);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    expect(await tokensIn(page)).toBeNull();
    await until(async () => (await app.client.post('/api/v1/auth/refresh', { refreshToken })).status === 401);
    expect(complaints).toEqual([]);
  }, 60_000);

  it('says when the session has ended', async () => {
    const { page } = await openPage(browser, app.url);
    const { accessToken, refreshToken } = (await tokensIn(page)) as { accessToken: string; refreshToken: string };
    must(204, await new Client(app.url, { accessToken, refreshToken }).post('/api/v1/auth/logout', { refreshToken }));
    await until(
      async () => (await new Client(app.url, { accessToken, refreshToken }).get('/api/v1/users/me')).status === 401,
    );
    await open(page, 'Users');
    await page.getByText('The session has ended: sign in again.').waitFor();
    expect(await page.getByLabel('Email').isVisible()).toBe(true);
  }, 60_000);

  it('counts refused requests', async () => {
    const { page } = await openPage(browser, app.url);
    const row = page.getByRole('row').filter({ hasText: 'over the limit “register”' });
    for (let [n, refused] = [0, 0]; refused < 5; n++) {
      const user = { email: `user-${n}@example.com`, password: 'correct-horse-battery', name: 'User' };
      if ((await app.client.post('/api/v1/auth/register', user)).status === 429) refused++;
    }
    await until(async () => (await row.getByRole('cell').last().textContent()) === '5');
  }, 60_000);

  describeWith('nginx', 'behind a proxy that strips the path of PUBLIC_URL', () => {
    it('signs in, shows the data, and says when the proxy does not answer', async () => {
      let ended: Promise<void> | undefined;
      const end = () => (ended ??= proxy.close());
      const proxy = await startNginx(
        ({ port }) => `server {
    listen 127.0.0.1:${port};
    location ${PATH}/ { proxy_pass ${app.url}/; }
  }`,
      );
      try {
        const { page, complaints } = await openPage(browser, proxy.url + PATH);
        await until(async () => (await tile(page, 'Requests')) >= 0);
        await open(page, 'Users');
        await until(async () => (await firstCells(page)).includes(ADMIN.email));
        expect(complaints).toEqual([]);
        await open(page, 'Live');
        await end();
        await page.getByText('The app does not answer.').waitFor();
      } finally {
        await end();
      }
    }, 60_000);
  });
});
