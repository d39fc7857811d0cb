import type { TestApp } from '../support/app.js';
import { BothWays, bytes, partsOf } from '../support/both-ways.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { addresses, headerSets } from '../support/walk.js';

/** Both put the path of PUBLIC_URL into the addresses that they give. */
const SETTINGS = { CORS_ORIGINS: 'https://shop.example.com', PUBLIC_URL: 'https://api.example.com/floodgate' };

let both: BothWays;
let app: TestApp;
const targets: string[] = [];
let headers: string[][];
beforeAll(async () => {
  both = await BothWays.start(SETTINGS);
  app = both.app;
  const ada = await app.user('ada');
  const set = await makeCollection(ada);
  const hidden = await makeCollection(ada, 'private');
  const small = await makeRecord(ada, set, { n: 1 }, '2001-01-01T00:00:00Z');
  const large = await makeRecord(ada, set, { text: 'é🦀'.repeat(500) }, '2001-01-02T00:00:00Z');
  const secret = await makeRecord(ada, hidden, { n: 1 });
  for (let n = 3; n < 9; n++) await makeRecord(ada, set, { n }, `2001-01-0${n}T00:00:00Z`);
  headers = headerSets([small.etag, large.etag.replace(/-(?:br|zstd|gzip)"$/, '"'), set.etag], ada.tokens?.accessToken);
  const { nextCursor } = must(200, await app.client.get(`${set.records}?limit=2`)).body;
  const cursor = encodeURIComponent(nextCursor);
  targets.push(...addresses(set, hidden, { small, large, secret }, cursor));
}, 60_000);
afterAll(() => both?.close());

describe('with the edge and without it, the answer is the same', () => {
  it('to every address', async () => {
    const found = await both.compare(
      targets.flatMap((target) => ['GET', 'HEAD'].map((method) => bytes(method, target))),
    );
    expect(Object.keys(found)).toEqual(expect.arrayContaining(['200', '400', '401', '404']));
  }, 120_000);

  it('to any headers', async () => {
    const few = targets.slice(0, 4);
    const requests = headers.flatMap((some) =>
      few.flatMap((target) => ['GET', 'HEAD'].map((method) => bytes(method, target, some))),
    );
    const found = await both.compare(requests);
    expect(Object.keys(found)).toEqual(expect.arrayContaining(['200', '304', '401', '406']));
  }, 120_000);

  it('for reads of a user by the user, admins and others', async () => {
    const [ada, bob] = [await app.user('ada2'), await app.user('bob2')];
    const path = `/api/v1/users/${ada.userId}`;
    const asked = [
      path,
      path.toUpperCase().replace('/API/V1/USERS', '/api/v1/users'),
      `${path}?x=1`,
      '/api/v1/users/me',
    ]
      .concat(['/api/v1/users/me?x=1', '/api/v1/users/x', `${path.slice(0, -1)}`, '/api/v1/users/%6de'])
      // Other keys of the cache cannot be reached by writing them in the path.
      .concat([`${path}%20own`, `/api/v1/users/own:${ada.userId}`, `${path}%2fown`])
      .concat(['/api/v1/users/me/', '/api/v1/users/01890000-0000-7000-8000-000000000000']);
    const etag = must(200, await ada.get(path)).headers.get('etag') as string;
    const requests = [ada, bob, app.admin].flatMap(({ tokens }) =>
      asked.flatMap((target) =>
        [[], [`If-None-Match: ${etag}`], ['Accept-Encoding: gzip']].flatMap((some) =>
          ['GET', 'HEAD'].map((method) =>
            bytes(method, target, [`Authorization: Bearer ${tokens?.accessToken}`, ...some]),
          ),
        ),
      ),
    );
    for (const { tokens } of [ada, bob]) {
      const headers = { authorization: `Bearer ${tokens?.accessToken}` };
      must(200, await app.client.get('/api/v1/users/me', headers));
      for (const other of [`${path}%20own`, `/api/v1/users/own:${ada.userId}`])
        must(400, await app.client.get(other, headers));
    }
    const found = await both.compare([...requests, bytes('GET', path), bytes('GET', '/api/v1/users/me')]);
    expect(Object.keys(found)).toEqual(expect.arrayContaining(['200', '304', '400', '401', '403', '404']));
  }, 120_000);

  it('to other methods, versions and hosts', async () => {
    const [target = ''] = targets;
    await both.compare([
      ...['POST', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'QUERY'].map((method) => bytes(method, target)),
      bytes('OPTIONS', target, ['Origin: https://shop.example.com', 'Access-Control-Request-Method: GET']),
      ...['1.0', '0.9', '2.0'].map((version) => bytes('GET', target, [], version)),
      bytes('GET', target, ['Connection: keep-alive'], '1.0'),
      bytes('GET', target, [], '1.0', []),
      ...[[], ['Host: '], ['Host: a', 'Host: b'], ['Host: a b'], ['Host: [::1]:3000']].map((host) =>
        bytes('GET', target, [], '1.1', host),
      ),
    ]);
  }, 60_000);

  it('to pipelined requests', async () => {
    const [small = '', large = '', set = '', records = '', secret = ''] = targets;
    const many = [small, secret, large, `${records}?limit=2`, set, small, '/nothing', records, large];
    const lines = many.map((target, i) =>
      bytes(i % 4 === 3 ? 'HEAD' : 'GET', target, [`x-request-id: ${i}`, 'Accept-Encoding: gzip;q=0']),
    );
    const request = lines.join('') + bytes('GET', small, ['Connection: close']);
    const answers = await Promise.all(both.urls.map((url) => exchange(url, request, true)));
    const [edge = [], pipeline] = answers.map((all) => all.split(/(?=HTTP\/1\.1 )/).map(partsOf));
    expect(edge.length).toBe(many.length + 1);
    expect(edge).toEqual(pipeline);
  });
});
