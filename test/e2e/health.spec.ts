import { startApp, type TestApp } from '../support/app.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

it('is alive, ready and started', async () => {
  for (const probe of ['live', 'ready', 'startup']) {
    const { status, body } = await app.client.get(`/health/${probe}`);
    expect([probe, status, body.status]).toEqual([probe, 200, 'ok']);
  }
});
