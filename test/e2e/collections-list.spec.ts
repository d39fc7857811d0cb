import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { makeCollection, must, readAll } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let bob: Client;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  bob = await app.user('bob');
});
afterAll(() => app?.close());

describe('GET /api/v1/data', () => {
  it('shows the collections that the caller may read, all of them to an admin, without gap or repetition across pages', async () => {
    for (let i = 0; i < 7; i++) {
      await makeCollection(i % 2 ? ada : bob, i % 3 ? 'private' : 'public');
    }
    const all = await app.database.query<{ name: string; visibility: string; owner: string }>(
      'SELECT name, visibility, owner_id AS owner FROM collections ORDER BY name',
    );
    for (const who of [app.client, ada, bob, app.admin]) {
      const may = all.filter(
        ({ visibility, owner }) => who === app.admin || visibility === 'public' || owner === who.userId,
      );
      const shown = await readAll<{ name: string }>(who, '/api/v1/data?limit=2');
      expect(shown.map(({ name }) => name)).toEqual(may.map(({ name }) => name));
    }
  });

  it('may be stored by no shared cache when the caller is signed in', async () => {
    for (const who of [ada, app.admin]) {
      const { headers } = must(200, await who.get('/api/v1/data'));
      expect(headers.get('cache-control')).toMatch(/^private, no-cache/);
    }
  });

  it("refuses an empty cursor and one of another caller's list", async () => {
    const { body } = must(200, await ada.get('/api/v1/data?limit=1'));
    const path = `/api/v1/data?limit=1&cursor=${body.nextCursor}`;
    expect((await ada.get(path)).status).toBe(200);
    for (const stranger of [app.client, bob, app.admin]) expect((await stranger.get(path)).status).toBe(400);
    expect((await ada.get('/api/v1/data?cursor=')).status).toBe(400);
  });
});
