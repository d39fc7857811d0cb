import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { changeUser, ENDINGS } from '../support/endings.js';

let app: TestApp;
beforeAll(async () => {
  // Everything stays cached for far longer than a test takes.
  app = await startApp({ SESSION_CHECK_MS: '5000', CACHE_TTL_MS: '600000' });
});
afterAll(() => app?.close());

const status = async (client: Client, path = '/api/v1/users/me') => (await client.get(path)).status;

/** A user with two sessions, both of which were just checked and are cached. */
async function signedInTwice(): Promise<[Client, Client]> {
  const one = await app.user();
  const { email } = must(200, await one.get('/api/v1/users/me')).body;
  const other = await app.client.signIn(email, `password-of-${email.split('@')[0]}`);
  for (const client of [one, other, one, other]) expect(await status(client)).toBe(200);
  return [one, other];
}

describe('a user who', () => {
  it.each(ENDINGS)('%s is refused on this replica from the next request on', async (what, end) => {
    const [user, other] = await signedInTwice();
    await end(app.admin, user, app.database);
    const isOfOne = what.startsWith('signs out') || what.startsWith('has a thief');
    expect([await status(user), await status(other)]).toEqual([401, isOfOne ? 200 : 401]);
  });

  it('changes the password stays signed in, and ends all other sessions at once', async () => {
    const [user, other] = await signedInTwice();
    const { email } = must(200, await user.get('/api/v1/users/me')).body;
    const currentPassword = `password-of-${email.split('@')[0]}`;
    await changeUser(user, user, { password: 'a-password-of-my-own', currentPassword });
    expect([await status(user), await status(other)]).toEqual([200, 401]);
  });

  it('is no longer an admin loses access to admin routes at once', async () => {
    const [user] = await signedInTwice();
    await changeUser(app.admin, user, { role: 'admin' });
    expect(await status(user, '/api/v1/users')).toBe(200);
    await changeUser(app.admin, user, { role: 'user' });
    expect(await status(user, '/api/v1/users')).toBe(403);
  });
});

it('shows a change of a user at once, even to a caller who has just read it', async () => {
  const user = await app.user();
  const path = `/api/v1/users/${user.userId}`;
  const nameOf = async (client: Client) => must(200, await client.get(path)).body.name;
  for (const client of [user, app.admin, user, app.admin]) expect(await nameOf(client)).not.toBe('New');
  await changeUser(app.admin, user, { name: 'New' });
  expect([await nameOf(user), await nameOf(app.admin)]).toEqual(['New', 'New']);
  const ifMatch = { 'if-match': must(200, await app.admin.get(path)).headers.get('etag') as string };
  must(204, await app.admin.delete(path, ifMatch));
  expect(await status(app.admin, path)).toBe(404);
});

describe('a collection that was just read, by name and by id,', () => {
  const read = ({ path }: { path: string }, record: { path: string }, client = app.client) =>
    Promise.all([path, record.path, `${path}/records`].map((one) => status(client, one)));

  it.each<[string, (owner: Client, path: string, etag: string) => Promise<unknown>]>([
    ['its owner is deleted', (owner) => (ENDINGS[1] as (typeof ENDINGS)[0])[1](app.admin, owner, app.database)],
    ['it is deleted', (owner, path, etag) => owner.delete(path, { 'if-match': etag }).then((one) => must(204, one))],
    [
      'it is made private',
      (owner, path, etag) =>
        owner.put(path, { visibility: 'private' }, { 'if-match': etag }).then((one) => must(200, one)),
    ],
  ])('is gone at once when %s', async (_what, change) => {
    const owner = await app.user();
    const set = await makeCollection(owner);
    const record = await makeRecord(owner, set);
    for (let round = 0; round < 2; round++) expect(await read(set, record)).toEqual([200, 200, 200]);
    await change(owner, set.path, set.etag);
    expect(await read(set, record)).toEqual([404, 404, 404]);
  });

  it('is visible to everybody at once when it is made or made public', async () => {
    const owner = await app.user();
    const path = '/api/v1/data/awaited';
    for (let round = 0; round < 2; round++) expect(await status(app.client, path)).toBe(404);
    const set = await makeCollection(owner, 'private', 'awaited');
    const record = await makeRecord(owner, set);
    for (let round = 0; round < 2; round++) expect(await read(set, record)).toEqual([404, 404, 404]);
    expect(await read(set, record, owner)).toEqual([200, 200, 200]);
    must(200, await owner.put(path, { visibility: 'public' }, { 'if-match': set.etag }));
    expect(await read(set, record)).toEqual([200, 200, 200]);
  });

  it('shows the current state of a record at once when it is replaced, patched or deleted', async () => {
    const owner = await app.user();
    const record = await makeRecord(owner, await makeCollection(owner), { n: 1 });
    const seen = async () => {
      const { status, body } = await app.client.get(record.path);
      return status === 200 ? body.data.n : status;
    };
    const etag = async () => ({ 'if-match': (await app.client.get(record.path)).headers.get('etag') as string });
    for (let round = 0; round < 2; round++) expect(await seen()).toBe(1);
    must(200, await owner.put(record.path, { data: { n: 2 } }, await etag()));
    for (let round = 0; round < 2; round++) expect(await seen()).toBe(2);
    must(200, await owner.patch(record.path, { data: { n: 3 } }, await etag()));
    for (let round = 0; round < 2; round++) expect(await seen()).toBe(3);
    must(204, await owner.delete(record.path, await etag()));
    expect(await seen()).toBe(404);
  });
});
