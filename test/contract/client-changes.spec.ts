import { readFileSync } from 'node:fs';
import { startApp, type TestApp } from '../support/app.js';
import { type Api, createApi, given } from './api.js';
import { changesOf } from './changes-of.js';

let app: TestApp;
let anyone: Api;
let ada: Api;
beforeAll(async () => {
  app = await startApp();
  anyone = createApi(app.url);
  ada = createApi(app.url, (await app.user('ada')).tokens?.accessToken);
});
afterAll(() => app?.close());

const path = { collection: 'followed' };
const create = async (n: number) =>
  given((await ada.POST('/api/v1/data/{collection}/records', { params: { path }, body: { data: { n } } })).data);

it('follows changes as docs/live.md shows it, and goes on from any of them', async () => {
  await ada.PUT('/api/v1/data/{collection}', { params: { path }, body: { visibility: 'public' } });
  const begin = (await anyone.GET('/api/v1/data/{collection}/changes', { params: { path }, parseAs: 'text' })).response;
  const after = /after=([\d-]+)/.exec(begin.headers.get('link') ?? '')?.[1];
  const following = changesOf(anyone, path.collection, after);
  const made = [];
  const seen = [];
  for (let n = 0; n < 5; n++) {
    // Sometimes there is one to read, and sometimes it waits for one.
    const next = n % 2 ? following.next() : undefined;
    made.push(await create(n));
    seen.push((await (next ?? following.next())).value);
  }
  expect(seen.map(({ event, data }) => [event, data])).toEqual(made.map((record) => ['created', record]));
  const resumed = changesOf(anyone, path.collection, seen[1].id);
  for (const expected of seen.slice(2)) expect((await resumed.next()).value.data).toEqual(expected.data);
});

it('ends with the problem when the collection is gone', async () => {
  await expect(changesOf(anyone, 'nothing').next()).rejects.toThrow(/^404 /);
});

it('is what docs/live.md shows', () => {
  const text = readFileSync('test/contract/changes-of.ts', 'utf8').replace('../../client/openapi.js', './openapi.js');
  expect(readFileSync('docs/live.md', 'utf8')).toContain(`\`\`\`ts\n${text}\`\`\``);
});
