import { startApp, type TestApp } from '../support/app.js';

const apps: TestApp[] = [];
const start = async (settings?: Record<string, string>) => {
  const app = await startApp(settings);
  apps.push(app);
  return app;
};
afterAll(() => Promise.all(apps.map((app) => app.close())));

it('lists working entry points at /, as JSON and as a page for browsers', async () => {
  const { client } = await start();
  const { status, body, headers } = await client.get('/');
  expect([status, body.name, headers.get('vary')]).toEqual([200, 'Floodgate', expect.stringContaining('Accept')]);
  const page = await client.get('/', { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' });
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  const links = [...page.text.matchAll(/href="([^"]+)"/g)].map(([, link]) => link as string);
  expect(links).toEqual([body.docs, body.openapi, body.health]);
  for (const link of links) expect([link, (await client.get(link)).status]).toEqual([link, 200]);
  expect((await client.send('HEAD', '/', undefined)).status).toBe(200);
  expect((await client.post('/', {})).status).toBe(405);
});

it('lists them with the path of PUBLIC_URL', async () => {
  const { client } = await start({ PUBLIC_URL: 'https://example.com/floodgate' });
  expect((await client.get('/')).body.docs).toBe('/floodgate/docs');
});
