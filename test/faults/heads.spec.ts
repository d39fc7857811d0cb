import { makeCollection, makeRecord } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { aroundOf, placesOf } from '../support/places.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';

let one: Single;
/** A complete request to each route of the document: its head and its body. */
let requests: [head: string, body: string][];
beforeAll(async () => {
  one = await startSingle();
  const set = await makeCollection(one.admin);
  const { id } = await makeRecord(one.admin, set);
  const places = placesOf(await aroundOf(one.admin));
  const byRoute = new Map(
    places.filter((place) => place.in !== 'path').map((place) => [place.name.split(' ', 2).join(), place]),
  );
  const plain = ['/health/live', '/metrics', '/openapi.json', '/docs', '/nowhere', set.path, `${set.records}/${id}`];
  requests = [
    ...[...byRoute.values()].map((place) => place.request('x').toString('latin1')),
    ...plain.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`),
  ].map((text) => {
    const end = text.indexOf('\r\n\r\n') + 2;
    return [text.slice(0, end), text.slice(end)];
  });
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const statusOf = async (request: string) => {
  const received = await exchange(one.url, request);
  expect(received).toContain('content-type: application/problem+json');
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
};

const KIB_64 = 65_536;

row(32, '64 KiB of headers', async () => {
  const large = {
    'one header': `X-Big: ${'a'.repeat(KIB_64)}\r\n`,
    'a long name': `${'x'.repeat(KIB_64)}: a\r\n`,
    'many headers': Array.from({ length: 4000 }, (_, i) => `x-${i}: ${i}.....\r\n`).join(''),
    'many of one name': 'x: 12345\r\n'.repeat(6554),
    'many without a value': 'x:\r\n'.repeat(16_384),
    'a token': `Authorization: Bearer ${'a'.repeat(KIB_64)}\r\n`,
    'a cookie': `Cookie: ${'a=b; '.repeat(13_108)}\r\n`,
    'a list of tags': `If-None-Match: ${'"x", '.repeat(13_108)}"y"\r\n`,
    'a list of types': `Accept: ${'a/b, '.repeat(13_108)}a/c\r\n`,
  };
  for (const [what, headers] of Object.entries(large)) {
    for (const [head, body] of requests) {
      const status = await statusOf(`${head}${headers}${body}`);
      expect([what, head.split('\r\n', 1)[0], status]).toEqual([what, head.split('\r\n', 1)[0], 431]);
    }
  }
  const address = `GET /api/v1/data?${'a'.repeat(KIB_64)} HTTP/1.1\r\nHost: x\r\n\r\n`;
  expect(await statusOf(address)).toBe(431);
  const count = Object.keys(large).length * requests.length + 1;
  return { requests: count, 'refused with 431': count };
});

row(32, '2,000 query parameters', async () => {
  const queries = {
    'all different': Array.from({ length: 2000 }, (_, i) => `${i.toString(36)}=`).join('&'),
    'all the same': 'by=1&'.repeat(2000).slice(0, -1),
    'without names': '&'.repeat(1999),
    'of known parameters, and more': `limit=1&${'a&'.repeat(1999)}`,
  };
  let count = 0;
  for (const [what, query] of Object.entries(queries)) {
    for (const [head, body] of requests) {
      const [method, target = '', ...rest] = head.split(' ');
      const [path] = target.split('?');
      const status = await statusOf(`${[method, `${path}?${query}`, ...rest].join(' ')}${body}`);
      expect([what, method, path, status]).toEqual([what, method, path, 400]);
      count++;
    }
  }
  return { requests: count, 'refused with 400': count };
});
