import { type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { aroundOf, placesOf } from '../support/places.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';

let one: Single;
let set: MadeCollection;
beforeAll(async () => {
  one = await startSingle();
  set = await makeCollection(one.admin);
  for (let i = 0; i < 4; i++) await makeRecord(one.admin, set);
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

/** Valid values of each parameter. */
const good = (): Record<string, string[]> => ({
  limit: ['1', '2'],
  cursor: ['x', 'y'],
  role: ['user', 'admin'],
  email: ['a', 'b'],
  order: ['asc', 'desc'],
  from: ['2001-01-01T00:00:00Z', '2002-01-01T00:00:00Z'],
  to: ['2003-01-01T00:00:00Z', '2004-01-01T00:00:00Z'],
  where: ['%7B%7D', '%7B%22a%22:1%7D'],
  bucket: ['day', 'hour'],
  by: ['a', 'b'],
  atomic: ['true', 'false'],
});

row(44, 'a parameter twice', async () => {
  const places = placesOf(await aroundOf(one.admin)).filter((place) => place.in === 'query');
  const unexpected: string[] = [];
  for (const place of places) {
    const name = place.name.split(' ').at(-1) as string;
    const [first = '1', second = first] = good()[name] ?? place.values ?? [];
    const twice = [
      `${first}&${name}=${first}`,
      `${first}&${name}=${second}`,
      `${first}&${name}=`,
      `${first}&%${name.charCodeAt(0).toString(16)}${name.slice(1)}=${second}`,
      `${first}&${name.toUpperCase()}=${second}`,
      `${first}&${name}[]=${second}`,
      `${first}&${name}[0]=${second}`,
    ];
    for (const value of twice) {
      const answer = await exchange(one.url, place.request(value), true);
      if (!answer.startsWith('HTTP/1.1 400 ')) unexpected.push(`${place.name}=${value}: ${answer.slice(0, 30)}`);
    }
  }
  expect(unexpected).toEqual([]);
  expect(places.length).toBeGreaterThanOrEqual(20);
  return { parameters: places.length, requests: places.length * 7, 'refused with 400': places.length * 7 };
});

row(44, 'an invalid limit', async () => {
  const lists = ['/api/v1/data', '/api/v1/users', set.records];
  const bad = ['-1', '0', '-0', '00', '+1', '1.0', '1e1', '0x10', '1_0', '', '%20', '%201', '1%20', 'NaN', 'Infinity'];
  bad.push('null', 'true', '[1]', '%EF%BC%91', '%D9%A1', '-9007199254740993', '1%0A');
  for (const path of lists) {
    for (const limit of bad) {
      const { status } = await one.admin.get(`${path}?limit=${limit}`);
      expect([path, limit, status]).toEqual([path, limit, 400]);
    }
    // A limit that is too large counts as the largest one.
    for (const limit of ['101', '9007199254740993', '9'.repeat(400), '0000000000000000000000001']) {
      must(200, await one.admin.get(`${path}?limit=${limit}`));
    }
  }
  return { requests: lists.length * (bad.length + 4), 'refused with 400': lists.length * bad.length };
});

/** Numbers as text, which JSON.parse would round. */
const PAST = [
  '9007199254740992',
  '-9007199254740992',
  '9007199254740993',
  '-9007199254740993',
  '18446744073709551616',
  '123456789012345678901234567890',
  '1e16',
  '9007199254740993.0',
  '9.007199254740993e15',
  '1e309',
  '-1e309',
  '1e999999999',
];
const EXACT = ['9007199254740991', '-9007199254740991', '9007199254740990', '0', '-1', '2251799813685248.5', '0.1'];

row(44, 'integers past 2^53', async () => {
  const { admin } = one;
  const record = await makeRecord(admin, set);
  const count = async () => (await one.database.query('SELECT FROM records')).length;
  const before = await count();
  let requests = 0;
  for (const number of PAST) {
    for (const data of [`{"a":${number}}`, `{"a":[{"b":[${number}]}]}`, `{"a":1,"b":{"${number}":${number}}}`]) {
      const answers = [
        await admin.post(set.records, `{"data":${data}}`),
        await admin.put(record.path, `{"data":${data}}`, { 'if-match': '*' }),
        await admin.patch(record.path, `{"data":${data}}`, { 'if-match': '*' }),
        await admin.get(`${set.records}?where=${encodeURIComponent(data)}`),
        await admin.get(`${set.records}/export?where=${encodeURIComponent(data)}`),
      ];
      expect([data, ...answers.map(({ status }) => status)]).toEqual([data, 400, 400, 400, 400, 400]);
      const lines = await admin.post(`${set.records}/bulk`, `{"data":${data}}\n`, NDJSON);
      const array = await admin.post(`${set.records}/bulk`, `[{"data":${data}}]`);
      for (const { body } of [lines, array]) expect(body).toMatchObject({ inserted: 0, failed: 1 });
      requests += 7;
    }
  }
  expect(await count()).toBe(before);
  expect((await admin.get(record.path)).body).toMatchObject({ data: { a: 1 }, version: 1 });
  for (const number of EXACT) {
    const { path } = await makeRecord(admin, set, JSON.parse(`{"a":${number},"b":[${number}]}`));
    // Compared as text: the test must not round it either.
    expect((await admin.get(path)).text).toContain(`{"a": ${number}, "b": [${number}]}`);
    requests += 2;
  }
  return { requests, 'refused with 400, or by their line': PAST.length * 21, 'kept to the last figure': EXACT.length };
});
