import { ADMIN } from '../support/app.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';

let one: Single;
let set: MadeCollection;
let record: string;
beforeAll(async () => {
  one = await startSingle();
  set = await makeCollection(one.admin);
  record = (await makeRecord(one.admin, set)).path;
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

/** A route that reads a body: its request line, a body that it accepts, and its status then. */
interface Route {
  line: string;
  good: string;
  done: number;
}
const routes = (): Route[] => [
  { line: 'POST /api/v1/auth/login', good: JSON.stringify(ADMIN), done: 200 },
  { line: `PATCH /api/v1/users/${one.admin.userId}`, good: '{"name":"Ada"}', done: 200 },
  { line: `PUT ${set.path}`, good: '{"visibility":"public"}', done: 200 },
  { line: `POST ${set.records}`, good: '{"data":{}}', done: 201 },
  { line: `PUT ${record}`, good: '{"data":{}}', done: 200 },
  { line: `PATCH ${record}`, good: '{"data":{}}', done: 200 },
  { line: `POST ${set.records}/bulk?atomic=true`, good: '[{"data":{}}]', done: 200 },
];

/** @param header one or several whole header lines, or none */
async function send({ line }: Route, header: string, body: string): Promise<number> {
  const head =
    `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\n` +
    `If-Match: *\r\n${header}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(await exchange(one.url, head, true))?.[1]);
}

/** Bodies that no route may accept: with a flaw that only validation as JSON finds, or not JSON at all. */
const BAD = [
  '{"a":"\\u0000"}',
  '{"__proto__":{"a":1}}',
  '{"a":9007199254740993}',
  '{"a":',
  'a=1&data={}',
  '<a/>',
  '\x00',
];
/** In an upload the body becomes a bad element, for which nothing is stored. */
const wrapped = ({ line }: Route, body: string) => (line.includes('/bulk') ? `[{"data":${body}}]` : body);

const ODD = [
  'application/json;',
  'application/json; ',
  'application/json;;',
  'application/json; ;',
  'application/json ;',
  'application/json\t',
  'application/json\t;',
  'application/json\t;\tcharset=utf-8',
  'APPLICATION/JSON',
  'Application/Json; Charset=UTF-8',
  'aPPLICATION/jSON;CHARSET="utf-8"',
  'application/json; charset',
  'application/json; charset=',
  'application/json; charset=""',
  'application/json; charset=utf-8; charset=utf-16',
  'application/json; charset=utf-8; x="; charset=latin1"',
  'application/json; charset = utf-8',
  'application/json; q=1',
  'application/json; boundary=x',
  'application/json, text/plain',
  'application/json, application/json',
  'application/json text/plain',
  'application/ json',
  'application /json',
  'application//json',
  '/json',
  'application/',
  ';application/json',
  ', application/json',
  '"application/json"',
  'application/json\x0b',
  '\x0capplication/json',
  'application/json\xa0',
  '\ufeffapplication/json',
  'application/j\u017fon',
  'application/problem+json',
  'application/merge-patch+json;',
  'APPLICATION/MERGE-PATCH+JSON',
  'application/vnd.api+json',
  'application/json+xml',
  'application/*',
  '*/*',
  'application/x-www-form-urlencoded; application/json',
  'text/plain; application/json',
  'multipart/form-data; boundary=application/json',
  'constructor',
  '__proto__',
  'a/b;'.repeat(1000),
  `application/json; x=${'y'.repeat(8000)}`,
  `application/json${';'.repeat(8000)}`,
  `application/json${' '.repeat(8000)};`,
].map((type) => `Content-Type: ${type}\r\n`);
const DOUBLED = [
  'Content-Type: application/json\r\nContent-Type: text/plain\r\n',
  'Content-Type: text/plain\r\nContent-Type: application/json\r\n',
  'Content-Type: application/json\r\ncontent-type: application/json\r\n',
];
const FOREIGN = ['utf-16', '"latin1"', 'UTF-8x', 'iso-8859-1; x=utf-8'].map(
  (charset) => `Content-Type: application/json; charset=${charset}\r\n`,
);
const NONE = ['', 'Content-Type:\r\n', 'Content-Type: \t \r\n', 'Content-Types: application/json\r\n'];
/** These must always get 415. */
const REFUSED = [...DOUBLED, ...FOREIGN, ...NONE];

row(41, '', async () => {
  const seen = { 'checked as JSON': 0, 'refused with 415': 0, 'refused with 400': 0 };
  for (const route of routes()) {
    for (const header of [...ODD, ...REFUSED]) {
      const status = await send(route, header, route.good);
      const where = [route.line, header.slice(0, 80)];
      // 400 is for bytes that are not a valid HTTP header.
      expect([...where, [route.done, 415, 400].includes(status)]).toEqual([...where, true]);
      if (status === route.done) seen['checked as JSON']++;
      else seen[`refused with ${status as 400 | 415}`]++;
      if (REFUSED.includes(header)) expect([...where, status]).toEqual([...where, 415]);
      for (const body of BAD) {
        const flawed = await send(route, header, wrapped(route, body));
        const expected = status === route.done ? [400, 422] : [status];
        expect([...where, body, expected.includes(flawed)]).toEqual([...where, body, true]);
      }
    }
  }
  // Each outcome occurs: otherwise the test would prove nothing.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0);
  const requests = routes().length * (ODD.length + REFUSED.length) * (1 + BAD.length);
  return { requests, ...seen };
});
