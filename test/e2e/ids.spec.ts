import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { makeCollection, must } from '../support/collections.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

describe('an id in capital letters', () => {
  const capitals = (client: Client) => `/api/v1/users/${client.userId?.toUpperCase()}`;

  it('names the caller, whose own password is changed with the current one', async () => {
    const user = await app.user('capital');
    const path = capitals(user);
    const password = 'the-next-one-of-theirs';
    const answer = await user.patch(path, { password }, { 'if-match': '*' });
    expect([answer.status, answer.body.errors]).toEqual([400, [{ pointer: '/currentPassword', detail: 'is missing' }]]);
    must(200, await user.patch(path, { password, currentPassword: 'password-of-capital' }, { 'if-match': '*' }));
    // The session that changed the password stays.
    must(200, await user.post('/api/v1/auth/refresh', { refreshToken: user.tokens?.refreshToken }));
  });

  it('names a record, which is changed and deleted for all readers', async () => {
    const set = await makeCollection(app.admin);
    const { id } = must(201, await app.admin.post(set.records, { data: { n: 1 } })).body;
    const [path, loud] = [`${set.records}/${id}`, `${set.records}/${id.toUpperCase()}`];
    for (const each of [path, loud]) must(200, await app.client.get(each));
    must(200, await app.admin.patch(loud, { data: { n: 2 } }, { 'if-match': '*' }));
    for (const each of [path, loud]) expect((await app.client.get(each)).body.data).toEqual({ n: 2 });
    must(204, await app.admin.delete(loud, { 'if-match': '*' }));
    for (const each of [path, loud]) must(404, await app.client.get(each));
  });
});
