import pg from 'pg';
import { must, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import { makeCollection } from '../support/collections.js';

const EACH = 5;
const ALL = 8;

let app: TestApp;
let changes: string;
let filtered: string;
const opened: AbortController[] = [];
beforeAll(async () => {
  app = await startApp({ FEED_LISTENERS_PER_CALLER: String(EACH), FEED_LISTENERS: String(ALL) });
  changes = `${(await makeCollection(await app.user())).path}/changes`;
  filtered = `${changes}?where=${encodeURIComponent('{"kind":"a"}')}`;
});
afterEach(async () => {
  for (const one of opened.splice(0)) one.abort();
  await until(async () => (await listeners()) === 0);
});
afterAll(() => app?.close());

const listeners = async () =>
  Number(
    /resource="feed_listeners"\} (\d+)/.exec((await app.client.get('/metrics', { accept: 'text/plain' })).text)?.[1],
  );

async function listen(path: string, token?: string, method = 'GET'): Promise<number> {
  const abort = new AbortController();
  opened.push(abort);
  const headers = { accept: 'text/event-stream', ...(token && { authorization: `Bearer ${token}` }) };
  return (await fetch(app.url + path, { method, headers, signal: abort.signal })).status;
}

const many = (count: number, path: string, token?: string, method?: string) =>
  Promise.all(Array.from({ length: count }, () => listen(path, token, method)));
const count = (statuses: number[], status: number) => statuses.filter((one) => one === status).length;

it.each(['without a filter', 'with one, which PostgreSQL is asked about'])(
  'lets a caller who comes 50 times at once in as often as is allowed, %s',
  async (which) => {
    const statuses = await many(50, which.startsWith('without') ? changes : filtered);
    expect([count(statuses, 200), count(statuses, 429), await listeners()]).toEqual([EACH, 50 - EACH, EACH]);
  },
);

it('lets all callers together in as often as is allowed', async () => {
  const tokens = await Promise.all([1, 2, 3].map(async () => (await app.user()).tokens?.accessToken));
  const statuses = (await Promise.all(tokens.map((token) => many(EACH, changes, token)))).flat();
  expect([count(statuses, 200), count(statuses, 503)]).toEqual([ALL, 3 * EACH - ALL]);
});

it('gives each place back: after heads, refusals, and callers who left before there was an answer', async () => {
  for (let round = 0; round < 3; round++) {
    const heads = await many(EACH, changes, undefined, 'HEAD');
    expect(heads).toEqual(heads.map(() => 200));
    await until(async () => (await listeners()) === 0);
  }
  expect(await many(3, '/api/v1/data/nothing/changes')).toEqual([404, 404, 404]);
  const holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
  for (const path of [changes, filtered]) {
    await holder.query('BEGIN; LOCK TABLE change_ticks');
    const leaving = many(20, path).catch((error: Error) => error.name);
    await until(async () => (await app.database.query('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
    for (const one of opened.splice(0)) one.abort();
    expect(await leaving).toBe('AbortError');
    await holder.query('COMMIT');
    // These are answered behind those.
    must(200, await app.client.get(changes));
    await until(async () => (await listeners()) === 0);
    const statuses = await many(10, path);
    expect([count(statuses, 200), count(statuses, 429)]).toEqual([EACH, 10 - EACH]);
    for (const one of opened.splice(0)) one.abort();
    await until(async () => (await listeners()) === 0);
  }
  await holder.end();
});
