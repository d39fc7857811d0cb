import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { makeCollection, must } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let records: string;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
beforeEach(async () => {
  records = (await makeCollection(ada)).records;
});
afterAll(() => app?.close());

const upload = (body: string, atomic: string): Promise<Response> =>
  ada.post(`${records}/bulk?atomic=${atomic}`, body, { 'content-type': 'application/x-ndjson' });
const count = async () => {
  const [row] = await app.database.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
    [records.split('/')[4]],
  );
  return row!.n;
};
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `{"data":{"n":${from + i}}}`);
const detail = expect.any(String);

describe('an atomic bulk upload', () => {
  it('stores all lines when all are good', async () => {
    const { body } = must(200, await upload(lines(1, 5003).join('\n'), 'true'));
    expect(body).toEqual({ inserted: 5003, failed: 0, errors: [] });
    expect(await count()).toBe(5003);
  });

  it('stores nothing when any line is bad, and answers 422 with the mistakes', async () => {
    for (const at of [1, 5001, 5003]) {
      const text = lines(1, 5003)
        .with(at - 1, '{"data":1}')
        .join('\n');
      const { status, body } = await upload(text, 'true');
      expect([status, body.inserted, body.failed]).toEqual([422, 0, 1]);
      expect(body.errors).toEqual([{ line: at, pointer: '/data', detail }]);
      expect(await count()).toBe(0);
    }
  });

  it('accepts only true and false for atomic', async () => {
    for (const atomic of ['1', 'yes', '', 'TRUE', 'true&atomic=true']) {
      const { status, body } = await upload(lines(1, 1).join(), atomic);
      expect([atomic, status, body.errors[0].pointer]).toEqual([atomic, 400, 'atomic']);
    }
    expect(await count()).toBe(0);
  });
});
