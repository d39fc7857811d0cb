import { ADMIN, startApp, type TestApp } from '../support/app.js';
import {
  ALL,
  type Api,
  allOf,
  CHANGES,
  createApi,
  everything,
  FOR_ANYONE,
  given,
  ifMatch,
  type Names,
  type Place,
  READS,
  RECORD_CHANGES,
  statuses,
  unwalked,
  WRITES,
} from './api.js';

const STALE = '"0-0"';
const UNKNOWN = '01890000-0000-7000-8000-000000000000';
const MALFORMED: Place = { id: 'x', collection: 'BAD', record: 'x', tag: STALE };
const password = 'password-of-the-client';

let app: TestApp;
let anyone: Api;
let admin: Api;
let ada: Api;
/** The same user, whose client forgets If-Match: its types would not let it. */
let forgetful: Api;
let stranger: Api;
/** A user's own, private things. */
let own: Place;
/** Things of the same user that anyone may read. */
let open: Place;

async function signUp(name: string): Promise<{ id: string; token: string }> {
  const credentials = { email: `${name}@example.org`, password };
  const { data: user } = await anyone.POST('/api/v1/auth/register', { body: { ...credentials, name } });
  const { data: tokens } = await anyone.POST('/api/v1/auth/login', { body: credentials });
  return { id: given(user).id, token: given(tokens).accessToken };
}

async function makePlace(id: string, collection: string, visibility: 'public' | 'private'): Promise<Place> {
  const params = { path: { collection } };
  await ada.PUT('/api/v1/data/{collection}', { params, body: { visibility } });
  const { data } = await ada.POST('/api/v1/data/{collection}/records', { params, body: { data: { km: 405 } } });
  return { id, collection, record: given(data).id, tag: STALE };
}

beforeAll(async () => {
  app = await startApp();
  anyone = createApi(app.url);
  const { data: tokens } = await anyone.POST('/api/v1/auth/login', { body: ADMIN });
  admin = createApi(app.url, given(tokens).accessToken);
  const { id, token } = await signUp('ada');
  ada = createApi(app.url, token);
  forgetful = createApi(app.url, token, 'if-match');
  stranger = createApi(app.url, (await signUp('stranger')).token);
  own = await makePlace(id, 'own', 'private');
  open = await makePlace(id, 'open', 'public');
});
afterAll(() => app?.close());

it('answers 401 to a token that is not valid, wherever it is sent', async () => {
  const found = await statuses(everything(createApi(app.url, 'nonsense'), open), ALL);
  expect(found).toEqual(allOf(ALL, 401));
});

it('answers 401 without a token where one is needed, and to wrong credentials', async () => {
  const names: Names = [...ALL.filter((name) => !FOR_ANYONE.includes(name)), 'login', 'refresh'];
  expect(await statuses(everything(anyone, open), names)).toEqual(allOf(names, 401));
});

it('answers 404 to a stranger about what is private, and 409 to who would take its name', async () => {
  const names: Names = [...READS, ...WRITES, 'deleteCollection'];
  expect(await statuses(everything(stranger, own), names)).toEqual(allOf(names, 404));
  const { response } = await stranger.PUT('/api/v1/data/{collection}', {
    params: { path: { collection: own.collection } },
    body: { visibility: 'public' },
  });
  expect(response.status).toBe(409);
});

it('answers 403 to a stranger who would change what is public, or other users', async () => {
  const names: Names = [...WRITES, ...CHANGES, 'getUser', 'listUsers'];
  expect(await statuses(everything(stranger, open), names)).toEqual(allOf(names, 403));
});

it('answers 409 to an address that is taken, and to the end of the last admin', async () => {
  const { response } = await admin.GET('/api/v1/users/{id}', { params: { path: { id: open.id } } });
  const params = { path: { id: open.id }, header: ifMatch(response) };
  const taken = await admin.PATCH('/api/v1/users/{id}', { params, body: { email: ADMIN.email } });
  expect(taken.response.status).toBe(409);
  const me = await admin.GET('/api/v1/users/me');
  const last = { path: { id: given(me.data).id }, header: ifMatch(me.response) };
  expect((await admin.DELETE('/api/v1/users/{id}', { params: last })).response.status).toBe(409);
  const again = await anyone.POST('/api/v1/auth/register', { body: { ...ADMIN, name: 'Other' } });
  expect(given(again.error).detail).toMatch(/taken/);
});

it('answers 422 to a key that was used before, and to an atomic upload with a bad line', async () => {
  const params = { path: { collection: open.collection }, header: { 'idempotency-key': 'used' } };
  const statusOf = async (km: number) =>
    (await ada.POST('/api/v1/data/{collection}/records', { params, body: { data: { km } } })).response.status;
  expect([await statusOf(1), await statusOf(1), await statusOf(2)]).toEqual([201, 201, 422]);
  const { error } = await ada.POST('/api/v1/data/{collection}/records/bulk', {
    params: { path: { collection: open.collection }, query: { atomic: 'true' } },
    body: [{ data: { km: 1 } }, { data: { km: 2 }, occurredAt: 'yesterday' }],
  });
  expect(given(error)).toMatchObject({ inserted: 0, failed: 1, errors: [{ line: 2, pointer: '/occurredAt' }] });
});

it('answers 404 for what is not there', async () => {
  const users: Names = ['getUser', 'updateUser', 'deleteUser'];
  expect(await statuses(everything(admin, { ...open, id: UNKNOWN }), users)).toEqual(allOf(users, 404));
  const records = everything(ada, { ...open, record: UNKNOWN });
  const names: Names = ['getRecord', ...RECORD_CHANGES];
  expect(await statuses(records, names)).toEqual(allOf(names, 404));
});

it('answers 428 to a change without If-Match, and 412 to one with a stale tag', async () => {
  expect(await statuses(everything(forgetful, open), CHANGES)).toEqual(allOf(CHANGES, 428));
  expect(await statuses(everything(ada, open), CHANGES)).toEqual(allOf(CHANGES, 412));
});

it('answers 304 to who has the version already', async () => {
  const names: Names = ['getMe', 'getUser', 'getCollection', 'getRecord'];
  for (const name of names) {
    const { response } = await everything(ada, open)[name]();
    const seen = given(response.headers.get('etag'));
    expect(await statuses(everything(ada, { ...open, seen }), [name])).toEqual({ [name]: 304 });
  }
});

it('answers 400 to ids, names, parameters and bodies that cannot be', async () => {
  const names: Names = [...READS, ...WRITES, ...CHANGES, 'getUser'];
  expect(await statuses(everything(admin, MALFORMED), names)).toEqual(allOf(names, 400));
  const query = { cursor: 'made-up' };
  const lists = [admin.GET('/api/v1/users', { params: { query } }), ada.GET('/api/v1/data', { params: { query } })];
  for (const list of lists) expect((await list).response.status).toBe(400);
  const nothing = { email: '', password };
  const posts = [
    anyone.POST('/api/v1/auth/register', { body: { ...nothing, name: 'x' } }),
    anyone.POST('/api/v1/auth/login', { body: nothing }),
    anyone.POST('/api/v1/auth/refresh', { body: { refreshToken: '' } }),
    anyone.POST('/api/v1/auth/logout', { body: { refreshToken: '' } }),
  ];
  for (const post of posts) expect((await post).response.status).toBe(400);
});

it('does what it is asked to, and has then shown every usual status of every operation', async () => {
  const operations = everything(ada, { ...open, tag: '*' });
  const made: Names = ['register', 'createRecord'];
  expect(await statuses(operations, made)).toEqual(allOf(made, 201));
  const usual: Names = [
    ...FOR_ANYONE.filter((name) => !['register', 'refresh', 'logout'].includes(name)),
    'createRecords',
  ];
  expect(await statuses(operations, usual)).toEqual(allOf(usual, 200));
  expect((await admin.GET('/api/v1/users')).response.status).toBe(200);
  const { data } = await anyone.POST('/api/v1/auth/login', { body: { email: 'ada@example.org', password } });
  const body = { refreshToken: given(data).refreshToken };
  expect((await anyone.POST('/api/v1/auth/refresh', { body })).response.status).toBe(200);
  // The last change takes the caller away, and with that every session.
  const found = { ...(await statuses(operations, ['logout'])), ...(await statuses(operations, CHANGES)) };
  expect(found).toEqual({
    ...allOf(CHANGES, 200),
    ...allOf(['deleteRecord', 'deleteCollection', 'deleteUser', 'logout'], 204),
  });
  expect(unwalked()).toEqual([]);
});
