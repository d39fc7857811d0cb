import { must } from '../../test/support/answers.js';
import { startApp, type TestApp } from '../../test/support/app.js';
import type { Client } from '../../test/support/client.js';

const PATH = '/api/v1/things';

let app: TestApp;
let ada: Client;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
afterAll(() => app?.close());

const make = async () => must(201, await ada.post(PATH, { name: 'first' }));
const tag = (answer: { headers: Headers }) => ({ 'if-match': answer.headers.get('etag') as string });

it('is made, read, changed and deleted by its owner', async () => {
  const made = await make();
  const path = made.headers.get('location') as string;
  expect(must(200, await ada.get(path)).body).toEqual(made.body);
  const changed = must(200, await ada.patch(path, { note: 'new' }, tag(made)));
  expect(must(200, await ada.get(path)).body).toMatchObject({ name: 'first', note: 'new', version: 2 });
  must(412, await ada.put(path, { name: 'second' }, tag(made)));
  must(204, await ada.delete(path, tag(changed)));
  must(404, await ada.get(path));
});

it('is listed for its owner, and for admins among all', async () => {
  const { id } = (await make()).body;
  for (const who of [ada, app.admin]) expect(must(200, await who.get(PATH)).body.items[0].id).toBe(id);
});

it('is for nobody else', async () => {
  const path = (await make()).headers.get('location') as string;
  const bob = await app.user('bob');
  must(404, await bob.get(path));
  must(401, await app.client.get(path));
  expect(must(200, await bob.get(PATH)).body.items).toEqual([]);
});
