import { startApp, type TestApp } from '../support/app.js';
import { type Api, createApi, given, ifMatch } from './api.js';
import type { BulkReport, Collection, Page, Stats, StoredRecord } from './relied-on.js';

let app: TestApp;
let anyone: Api;
let ada: Api;
beforeAll(async () => {
  app = await startApp();
  anyone = createApi(app.url);
  ada = createApi(app.url, (await app.user('ada')).tokens?.accessToken);
});
afterAll(() => app.close());

it('keeps collections and records through their whole life', async () => {
  const path = { collection: 'life' };
  const put: { params: { path: { collection: string } }; body: { visibility: 'public'; description: string } } = {
    params: { path },
    body: { visibility: 'public', description: 'Of a client' },
  };
  const made: Collection = given((await ada.PUT('/api/v1/data/{collection}', put)).data);
  const read = await ada.GET('/api/v1/data/{collection}', { params: { path } });
  expect(read.data).toEqual(made);
  const header = ifMatch(read.response);
  const changed = await ada.PUT('/api/v1/data/{collection}', {
    params: { path, header },
    body: { visibility: 'public' },
  });
  expect([changed.response.status, changed.data?.version]).toEqual([200, 2]);

  const first = await ada.POST('/api/v1/data/{collection}/records', {
    params: { path, header: { 'idempotency-key': 'one' } },
    body: { data: { to: 'Oslo', km: 405 }, occurredAt: '2026-01-31T08:30:00Z' },
  });
  const record: StoredRecord = given(first.data);
  const lines = ['{"data":{"to":"Rome","km":1184}}', '{"data":"oops"}'].join('\n');
  const bulk = await ada.POST('/api/v1/data/{collection}/records/bulk', {
    params: { path, query: { atomic: 'false' } },
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines,
    bodySerializer: (body) => String(body),
  });
  const report: BulkReport = given(bulk.data);
  expect([report.inserted, report.failed, report.errors[0]?.line]).toEqual([1, 1, 2]);

  const where = JSON.stringify({ to: 'Oslo' });
  const list = await anyone.GET('/api/v1/data/{collection}/records', {
    params: {
      path,
      query: { where, order: 'asc', from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z', limit: 5 },
    },
  });
  const page: Page<StoredRecord> = given(list.data);
  expect(page).toEqual({ items: [record], nextCursor: null });
  const exported = await anyone.GET('/api/v1/data/{collection}/records/export', {
    params: { path, query: { where } },
    parseAs: 'text',
  });
  expect(JSON.parse(given(exported.data))).toEqual(record);
  const counted = await anyone.GET('/api/v1/data/{collection}/stats', {
    params: { path, query: { bucket: 'month', by: 'to' } },
  });
  const stats: Stats = given(counted.data);
  expect([stats.total.count, stats.values?.length]).toEqual([2, 2]);
  const collections: Page<Collection> = given((await anyone.GET('/api/v1/data')).data);
  expect(collections.items.map(({ name }) => name)).toEqual(['life']);

  const at = { path: { ...path, id: record.id } };
  const tagOf = async () => {
    const { response } = await ada.GET('/api/v1/data/{collection}/records/{id}', { params: at });
    return ifMatch(response);
  };
  const replaced = await ada.PUT('/api/v1/data/{collection}/records/{id}', {
    params: { ...at, header: await tagOf() },
    body: { data: { to: 'Bergen' } },
  });
  expect(replaced.data?.data).toEqual({ to: 'Bergen' });
  const patched = await ada.PATCH('/api/v1/data/{collection}/records/{id}', {
    params: { ...at, header: await tagOf() },
    body: { data: { to: null, km: 12 } },
  });
  expect(patched.data?.data).toEqual({ km: 12 });
  const gone = await ada.DELETE('/api/v1/data/{collection}/records/{id}', { params: { ...at, header: await tagOf() } });
  expect(gone.response.status).toBe(204);
  const { response } = await ada.GET('/api/v1/data/{collection}', { params: { path } });
  const all = await ada.DELETE('/api/v1/data/{collection}', { params: { path, header: ifMatch(response) } });
  expect(all.response.status).toBe(204);
});
