import { startApp, type TestApp } from '../support/app.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';

const PAGE = '/admin';
const FILES = ['admin/admin.js', 'admin/admin.css', 'admin/uPlot.esm.js', 'admin/uPlot.min.css'].map(
  (name) => `/${name}`,
);

/** The answers to everything that the page and its scripts load, directly or through another script. */
async function walk(url: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const visit = async (address: string) => {
    if (found.has(address)) return;
    const answer = await fetch(address);
    const text = await answer.text();
    found.set(address, `${answer.status} ${answer.headers.get('content-type')}`);
    const base = answer.url;
    const named = text.matchAll(/(?:src|href)="([^"#:]+)"|^import (?:.* from )?'([^']+)'/gm);
    for (const [, attribute, module] of named) await visit(new URL((attribute ?? module) as string, base).href);
  };
  await visit(url);
  return found;
}

describe('the page for admins', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app?.close());

  it.each([PAGE, `${PAGE}/`])('can load all of its files, from %s', async (path) => {
    const found = await walk(app.url + path);
    expect(found.size).toBeGreaterThan(8);
    const types = { html: 'text/html', css: 'text/css', js: 'text/javascript' };
    for (const [address, answer] of found) {
      const extension = (/\.(\w+)$/.exec(new URL(address).pathname)?.[1] ?? 'html') as keyof typeof types;
      expect([address, answer]).toEqual([address, `200 ${types[extension]}; charset=utf-8`]);
    }
    for (const path of FILES) expect([...found.keys()]).toContain(app.url + path);
  });

  it('may use only its own scripts and styles, and call the API: nothing inline, and nothing from other origins', async () => {
    for (const path of [PAGE, ...FILES]) {
      const { headers } = await app.client.get(path);
      expect([path, headers.get('content-security-policy')?.split('; ').sort()]).toEqual([
        path,
        [
          "base-uri 'none'",
          "connect-src 'self'",
          "default-src 'none'",
          "form-action 'none'",
          "frame-ancestors 'none'",
          'img-src data:',
          "script-src 'self'",
          "style-src 'self'",
        ],
      ]);
    }
  });

  it('is not sent again to a browser that has it', async () => {
    for (const path of [PAGE, ...FILES]) {
      const { headers } = await app.client.get(path);
      const etag = headers.get('etag') as string;
      expect((await app.client.get(path, { 'if-none-match': etag })).status).toBe(304);
      expect(headers.get('cache-control')).toBe('no-cache');
    }
  });

  it('serves no other file', async () => {
    for (const name of [
      'nothing.js',
      'admin.controller.js',
      '..%2fadmin.module.ts',
      '%2e%2e/%2e%2e/package.json',
      'a/b',
    ])
      expect([name, (await app.client.get(`${PAGE}/${name}`)).status]).toEqual([name, 404]);
  });
});

describe('the page for admins in production', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase();
  });
  afterAll(async () => {
    await endPrograms();
    await database?.drop();
  });

  it.each([
    ['is absent by default', {}, 404],
    ['is there with ADMIN_PAGE', { ADMIN_PAGE: 'true' }, 200],
  ])(
    '%s',
    async (_, settings, status) => {
      const url = await startMain({ ...productionSettings(database.url), ...settings }).url();
      for (const path of [PAGE, `${PAGE}/`, ...FILES])
        expect([path, (await fetch(url + path)).status]).toEqual([path, status]);
    },
    60_000,
  );
});
