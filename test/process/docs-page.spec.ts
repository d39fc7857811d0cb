import { startApp, type TestApp } from '../support/app.js';
import { type Browser, openBrowser, openTab, type Page, SCREENS } from '../support/browser.js';
import { describeWith } from '../support/program.js';

/** The page is large, so a busy machine takes a while to show it. */
const PATIENT_MS = 240_000;

const screens = Object.keys(SCREENS) as (keyof typeof SCREENS)[];

/** An operation's block on the page. */
const operation = (page: Page, id: string) => page.locator(`.opblock[id$="-${id}"]`);

/** Opens an operation, adds the given values to the prefilled ones, executes it, and reads the answer from the page. */
async function execute(page: Page, id: string, given: Record<string, string> = {}) {
  const block = operation(page, id);
  if ((await block.locator('.execute').count()) === 0) await block.locator('.opblock-summary-control').click();
  const button = block.locator('.execute');
  await button.waitFor();
  for (const [name, value] of Object.entries(given)) {
    if (name === 'type') await block.locator('.body-param-content-type select').selectOption(value);
    else if (name === 'body') await block.locator('textarea.body-param__text').fill(value);
    else await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  const answered = page.waitForResponse((response) => response.url().includes('/api/'));
  await button.click();
  await answered;
  const live = block.locator('.live-responses-table .response').first();
  const status = Number.parseInt(await live.locator('.response-col_status').innerText(), 10);
  const text = await live.locator('.highlight-code code').first().innerText();
  return { status, body: JSON.parse(text), headers: await live.locator('.headerline').allInnerTexts() };
}

/** 'open', 'closed', or undefined when the operation needs no token. */
async function padlock(page: Page, id: string): Promise<string | undefined> {
  const button = operation(page, id).locator('.authorization__btn');
  if ((await button.count()) === 0) return undefined;
  return (await button.getAttribute('aria-label'))?.includes('unlocked') ? 'open' : 'closed';
}

describeWith('chromium', 'the page at /docs', () => {
  let app: TestApp;
  let browser: Browser;
  beforeAll(async () => {
    [app, browser] = await Promise.all([startApp(), openBrowser()]);
  });
  afterAll(async () => {
    await browser?.close();
    await app?.close();
  });

  const open = async (screen: keyof typeof SCREENS) => {
    const tab = await openTab(browser, app.url, screen);
    await tab.page.goto(`${app.url}/docs`);
    await operation(tab.page, 'register').waitFor();
    return tab;
  };

  it.each(screens)(
    'leads from registering to records and an error, on a %s',
    async (screen) => {
      const { page, complaints } = await open(screen);
      const who = { email: `ada@${screen}.example.com`, password: 'correct-horse-battery' };
      expect(await padlock(page, 'register')).toBeUndefined();
      expect([await padlock(page, 'getMe'), await padlock(page, 'listRecords')]).toEqual(['open', 'open']);

      const made = await execute(page, 'register', { body: JSON.stringify({ ...who, name: 'Ada' }) });
      expect([made.status, made.body.email]).toEqual([201, who.email]);
      const tokens = await execute(page, 'login', { body: JSON.stringify(who) });
      expect(tokens.status).toBe(200);

      await page.locator('.auth-wrapper .authorize').click();
      const dialog = page.locator('.dialog-ux');
      expect(await dialog.innerText()).toContain('/api/v1/auth/login');
      await dialog.locator('input').fill(tokens.body.accessToken);
      await dialog.locator('button.authorize').click();
      await dialog.locator('.btn-done').click();
      const closed = [
        await padlock(page, 'getMe'),
        await padlock(page, 'listRecords'),
        await padlock(page, 'register'),
      ];
      expect(closed).toEqual(['closed', 'closed', undefined]);

      // With the prefilled values: none hides the new records, and none requires a version of something that does not exist.
      const collection = `flights-${screen}`;
      const put = await execute(page, 'putCollection', { collection });
      expect([put.status, put.body.visibility]).toEqual([201, 'public']);
      const one = await execute(page, 'createRecord', { collection });
      expect(one.status).toBe(201);
      expect(await operation(page, 'createRecord').locator('.headers-wrapper').first().innerText()).toContain('ETag');
      const many = await execute(page, 'createRecords', { collection, type: 'application/x-ndjson' });
      expect([many.status, many.body]).toEqual([200, { inserted: 2, failed: 0, errors: [] }]);
      const listed = await execute(page, 'listRecords', { collection });
      expect([listed.status, listed.body.items.length]).toEqual([200, 3]);
      const renamed = await execute(page, 'updateUser', { id: made.body.id, 'if-match': '"1-0"' });
      expect([renamed.status, renamed.body.title]).toEqual([412, 'If-Match does not name the current version']);

      const absent = await execute(page, 'putCollection', { collection: `${collection}-2`, 'if-match': '"1-0"' });
      expect([absent.status, absent.body.detail]).toEqual([412, expect.stringContaining('nothing here yet')]);
      const refused = await execute(page, 'createRecord', { collection, body: '{"data":"oops"}' });
      expect([refused.status, refused.body.errors]).toEqual([400, [{ pointer: '/data', detail: 'must be an object' }]]);
      expect(complaints).toEqual([]);
    },
    PATIENT_MS,
  );

  it(
    'prefills a change of a user with values that lock nobody out',
    async () => {
      const { page } = await open('laptop');
      const block = operation(page, 'updateUser');
      await block.locator('.opblock-summary-control').click();
      const body = JSON.parse(await block.locator('textarea.body-param__text').inputValue());
      expect(Object.keys(body)).toEqual(['name']);
    },
    PATIENT_MS,
  );

  it(
    'begins with signing in, and needs no sideways scrolling on a phone',
    async () => {
      const { page } = await open('phone');
      const sections = await page.locator('.opblock-tag').evaluateAll((tags) => tags.map(({ dataset }) => dataset.tag));
      expect(sections.slice(0, 3)).toEqual(['auth', 'users', 'data']);
      const widths = () => page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
      expect(await widths()).toEqual([SCREENS.phone.width, SCREENS.phone.width]);
      await operation(page, 'listRecords').locator('.opblock-summary-control').click();
      await operation(page, 'listRecords').locator('.execute').waitFor();
      expect(await widths()).toEqual([SCREENS.phone.width, SCREENS.phone.width]);
      const sizes = await page
        .locator('.opblock-summary-path, .opblock-summary-description, .parameter__name, .markdown p')
        .evaluateAll((texts) => texts.map((text) => Number.parseFloat(getComputedStyle(text).fontSize)));
      expect(Math.min(...sizes)).toBeGreaterThanOrEqual(12);
    },
    PATIENT_MS,
  );
});
