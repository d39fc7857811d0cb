import pLimit from 'p-limit';
import { type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { aroundOf, type Place, placesOf } from '../support/places.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';

let one: Single;
let set: MadeCollection;
let places: Place[];
beforeAll(async () => {
  one = await startSingle();
  set = await makeCollection(one.admin);
  await makeRecord(one.admin, set);
  places = placesOf(await aroundOf(one.admin));
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

type Text = Record<Place['in'], string[]>;

/** Everything that is stored, as one text. */
const stored = async () => JSON.stringify(await Promise.all(['users', 'collections', 'records'].map(tableOf)));
const tableOf = (name: string) => one.database.query(`SELECT to_jsonb(t) AS row FROM ${name} t ORDER BY id`);

interface Answer {
  place: string;
  text: string;
  status: number;
  /** The result of an upload's one line. */
  report: { inserted?: number; failed?: number };
}

/** Puts each of the texts in each place. @returns the answers */
async function fill(texts: Text): Promise<Answer[]> {
  const asked = places.flatMap((place) => texts[place.in].map((text) => ({ place, text })));
  // Few enough at once that none is refused for load.
  return pLimit(16).map(asked, async ({ place, text }) => {
    const received = await exchange(one.url, place.request(text), true);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
    const isReport = status === 200 && place.name.includes('/bulk body');
    const report = isReport ? JSON.parse(received.slice(received.indexOf('\r\n\r\n'))) : {};
    return { place: place.name, text, status, report };
  });
}

/** Refused with 400, or in an upload by its line. */
const isRefused = ({ status, report }: Answer) => status === 400 || (report.inserted === 0 && report.failed === 1);

const statusOf = async (where: string) =>
  (await one.admin.get(`${set.records}?where=${encodeURIComponent(where)}`)).status;

/** A text at the beginning, in the middle and at the end, and alone. */
const around = (text: string) => [text, `${text}a`, `a${text}b`, `a${text}`];

row(33, '', async () => {
  const before = await stored();
  const encoded = around('%00');
  const bare = around('\0');
  const answers = await fill({
    path: [...encoded, ...bare],
    query: [...encoded, ...bare],
    header: bare,
    body: [...around('\\u0000'), ...bare],
  });
  expect(answers.filter((answer) => !isRefused(answer))).toEqual([]);
  // As an escape, which only JSON reads as a NUL.
  for (const where of ['{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":[{"b\\u0000":1}]}'])
    expect(await statusOf(where)).toBe(400);
  // A cursor that is valid except for the NUL.
  for (let i = 0; i < 3; i++) await makeRecord(one.admin, set);
  const { nextCursor } = must(200, await one.admin.get(`${set.records}?limit=1`)).body;
  const between = await stored();
  for (const cursor of [`${nextCursor}%00`, `%00${nextCursor}`, nextCursor.replace('.', '%00.')]) {
    expect((await one.admin.get(`${set.records}?limit=1&cursor=${cursor}`)).status).toBe(400);
  }
  // In headers that no route reads, and in unknown paths.
  for (const name of ['Host', 'Authorization', 'Accept', 'Content-Type', 'X-Request-Id', 'Origin', 'X-Anything']) {
    const request = `GET ${set.path} HTTP/1.1\r\nHost: x\r\n${name}: a\0b\r\n\r\n`;
    expect(await exchange(one.url, request)).toMatch(/^HTTP\/1\.1 400 /);
  }
  for (const path of ['/%00', '/nowhere/%00', '/docs/%00', '/health/live?%00=1', '/api/v1/data?%00']) {
    expect((await one.anyone.get(path)).status).toBe(400);
  }
  expect(await stored()).toBe(between);
  expect(between.length).toBeGreaterThan(before.length);
  return { places: places.length, requests: answers.length, 'refused with 400, or by their line': answers.length };
});

/** Bytes that are not UTF-8, as one character each. */
const BROKEN = [
  '\xff',
  '\x80',
  '\xc0\x80',
  '\xc1\xbf',
  '\xe0\x80\x80',
  '\xe2\x82',
  '\xed\xa0\x80',
  '\xed\xb0\x80',
  '\xed\xa0\xbd\xed\xb8\x80',
  '\xf0\x9f\x98',
  '\xf4\x90\x80\x80',
  '\xf8\x88\x80\x80\x80',
];
const percent = (bytes: string) => [...bytes].map((byte) => `%${byte.charCodeAt(0).toString(16)}`).join('');
const LONE = ['\\ud800', '\\udbff', '\\udc00', '\\udfff', '\\udc00\\ud800', '\\ud800\\ud800', 'x\\uD83Dx\\uDE00'];

row(34, 'refused', async () => {
  const before = await stored();
  const broken = BROKEN.flatMap((bytes) => [bytes, `a${bytes}b`]);
  const answers = await fill({
    path: [...BROKEN.map(percent), ...BROKEN],
    query: [...BROKEN.map(percent), ...BROKEN],
    header: broken,
    body: [...broken, ...LONE],
  });
  for (const text of LONE) expect(await statusOf(`{"a":"${text}"}`)).toBe(400);
  // A header may contain any bytes; as an entity tag, they match nothing.
  const isOtherTag = ({ place, status }: Answer) => place.endsWith('header if-none-match') && status === 200;
  expect(answers.filter((answer) => !isRefused(answer) && !isOtherTag(answer))).toEqual([]);
  expect(answers.filter(isOtherTag).length).toBeLessThan(answers.length / 10);
  expect(await stored()).toBe(before);
  return { places: places.length, requests: answers.length };
});

/** Well-formed, but often damaged: noncharacters, directional marks, controls, characters that look or sort the same. */
const ODD = [
  ...['\ufffd', '\ufffe', '\uffff', '\u{10ffff}', '\ufeff', '\u2028', '\u2029', '\u202e', '\u00ad', '\u200b', '\u200d'],
  ...['e\u0301', '\u00e9', '\u212b', '\u00c5', '\u1e9e', '\u0130', '\ufb01', '\u{1f468}\u200d\u{1f4bb}', '\u{1f1e9}'],
  ...['\u{1d538}', '\ud7ff', '\ue000', '\u007f', '\u0085', '\u0378'],
].map((text) => `a${text}z`);

row(34, 'kept exactly', async () => {
  const whole = ODD.join('');
  const kept = (await one.admin.patch(`/api/v1/users/${one.admin.userId}`, { name: ODD[0] }, { 'if-match': '*' })).body;
  expect(kept.name).toBe(ODD[0]);
  let answers = 0;
  for (const text of [...ODD, whole]) {
    const data = { [text]: [text, { [text]: text }] };
    const made = must(201, await one.admin.post(set.records, { data }));
    const path = made.headers.get('location') as string;
    const where = encodeURIComponent(JSON.stringify(data));
    const found = must(200, await one.anyone.get(`${set.records}?where=${where}`));
    const described = must(200, await one.admin.put(set.path, about(text), { 'if-match': '*' }));
    const bytes = Buffer.from(await (await fetch(one.url + path)).arrayBuffer());
    for (const read of [made.body.data, JSON.parse(bytes.toString()).data, found.body.items[0].data]) {
      expect(read).toEqual(data);
    }
    expect(bytes.indexOf(Buffer.from(text))).toBeGreaterThan(0);
    expect(found.body.items).toHaveLength(1);
    expect(described.body.description).toBe(text);
    answers += 5;
  }
  return { texts: ODD.length + 1, 'answers that hold them exactly': answers };
});

const about = (description: string) => ({ visibility: 'public', description });
