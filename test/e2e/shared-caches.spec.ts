import CachePolicy from 'http-cache-semantics';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { startApp, type TestApp, testEnvironment } from '../support/app.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';

const SETTINGS = { PUBLIC_MAX_AGE_S: '60' };
const JWKS = '/.well-known/jwks.json';

let app: TestApp;
let urls: Record<'edge' | 'pipeline', string>;
let stop: () => Promise<void>;
let open: MadeCollection;
let hidden: MadeCollection;
let record: string;
let etag: string;
beforeAll(async () => {
  app = await startApp(SETTINGS);
  const plain = await createApp(loadConfig({ ...testEnvironment(app.database.url), ...SETTINGS, EDGE: 'false' }));
  urls = { edge: app.url, pipeline: await plain.listen() };
  stop = () => plain.stop();
  open = await makeCollection(app.admin);
  hidden = await makeCollection(app.admin, 'private');
  ({ path: record, etag } = await makeRecord(app.admin, open, { text: 'x'.repeat(2000) }));
  await makeRecord(app.admin, hidden);
}, 60_000);
afterAll(async () => {
  await stop?.();
  await app?.close();
});

/** Whether RFC 9111 lets a shared cache reuse the answer without revalidation. */
function isShared(url: string, method: string, asked: Record<string, string>, { status, headers }: Response): boolean {
  const policy = new CachePolicy(
    { url, method, headers: asked },
    { status, headers: Object.fromEntries(headers) },
    { shared: true },
  );
  return policy.storable() && policy.timeToLive() > 0;
}

const OWN = ['x-request-id', 'ratelimit', 'ratelimit-policy'];

/** Requests the target twice, so that the second answer comes from our cache. @returns whether shared caches may reuse it */
async function look(target: string, asked: Record<string, string> = {}, method = 'GET'): Promise<boolean> {
  const found = new Set<boolean>();
  for (const url of [...Object.values(urls), ...Object.values(urls)]) {
    const answer = await fetch(url + target, { method, headers: { 'x-request-id': 'mine', ...asked } });
    const isFor = isShared(target, method, asked, answer);
    const own = OWN.filter((name) => answer.headers.has(name));
    const isFree = /^\/(?:health|\.well-known)\//.test(target);
    expect([target, method, answer.status, own]).toEqual([
      target,
      method,
      answer.status,
      isFor ? [] : isFree ? ['x-request-id'] : OWN,
    ]);
    if (!isFor) expect(answer.headers.get('x-request-id')).toBe('mine');
    await answer.arrayBuffer();
    found.add(isFor);
  }
  expect(found.size).toBe(1);
  return found.has(true);
}

describe('headers of one caller are on no answer that a shared cache may store, and on every other one:', () => {
  it.each(['GET', 'HEAD'])('public resources with an age, %s', async (method) => {
    expect(await look(JWKS, {}, method)).toBe(true);
    const headers: Record<string, string>[] = [
      {},
      { 'accept-encoding': 'gzip' },
      { 'accept-encoding': 'br' },
      { 'if-none-match': '"x"' },
    ];
    for (const asked of headers) {
      expect(await look(record, asked, method)).toBe(true);
      expect(await look(open.path, asked, method)).toBe(true);
    }
  });

  it('a 304 of such a resource', async () => {
    for (const url of Object.values(urls)) {
      const { status, headers } = await fetch(url + record, { headers: { 'if-none-match': etag } });
      expect([status, ...OWN.map((name) => headers.get(name))]).toEqual([304, null, null, null]);
    }
  });

  it('such a resource for a caller with a token', async () => {
    const authorization = `Bearer ${app.admin.tokens?.accessToken}`;
    // RFC 9111, 3.5: public allows it.
    expect(await look(record, { authorization })).toBe(true);
  });

  it('private resources, lists and errors', async () => {
    const authorization = `Bearer ${app.admin.tokens?.accessToken}`;
    for (const target of [
      open.records,
      `${open.path}/stats`,
      `${open.records}/export`,
      '/api/v1/data',
      `${open.records}/nothing`,
      '/api/v1/nothing',
      '/health/live',
      '/openapi.json',
      '/docs',
    ])
      expect([target, await look(target)]).toEqual([target, false]);
    expect(await look(hidden.path, { authorization })).toBe(false);
    expect(await look('/api/v1/users/me', { authorization })).toBe(false);
  });
});
