import { startApp, type TestApp } from '../support/app.js';
import { ask as askAt } from '../support/ask.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';

let app: TestApp;
let small: { path: string };
let records: string;
beforeAll(async () => {
  app = await startApp();
  const set = await makeCollection(app.admin);
  ({ records } = set);
  small = await makeRecord(app.admin, set);
});
afterAll(() => app?.close());

const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  askAt(app.url + path, headers, method);

describe('Accept', () => {
  it.each([
    '*/*',
    'application/*',
    'application/json',
    'application/json;q=0.5',
    'text/html, */*;q=0.1',
    'Application/JSON',
    'application/json; charset=utf-8',
    '',
  ])('"%s" takes JSON', async (accept) => {
    expect((await ask(small.path, { accept })).status).toBe(200);
  });

  // RFC 9110, 15.5.7: the successful answer decides. A caller that accepts only problems could not read it.
  it.each([
    'text/html',
    'application/xml, text/*',
    'application/json;q=0',
    '*/*;q=0',
    'application/problem+json',
    'nonsense',
  ])('"%s" is refused with 406 before any work is done', async (accept) => {
    expectProblem(await app.client.get(small.path, { accept }), 'not-acceptable');
    const name = `${records.replace('/records', '')}-new`;
    expectProblem(await app.admin.put(name, { visibility: 'public' }, { accept }), 'not-acceptable');
    expect((await app.admin.get(name)).status).toBe(404);
  });

  it('must allow NDJSON for an export', async () => {
    for (const accept of ['application/x-ndjson', 'application/*', '*/*'])
      expect((await ask(`${records}/export`, { accept })).status).toBe(200);
    expectProblem(await app.client.get(`${records}/export`, { accept: 'application/json' }), 'not-acceptable');
  });

  it('never changes what an error looks like', async () => {
    const accept = 'text/html';
    expectProblem(await app.client.get('/api/v1/nowhere', { accept }), 'not-found');
    expectProblem(await app.client.get('/api/v1/data/%zz', { accept }), 'invalid-request');
    expectProblem(await app.client.get('/health/nowhere', { accept }), 'not-found');
  });

  it('is ignored by probes, metrics and pages', async () => {
    for (const path of ['/health/live', '/metrics', '/docs', '/openapi.json'])
      expect((await ask(path, { accept: 'image/png' })).status).toBe(200);
  });
});
