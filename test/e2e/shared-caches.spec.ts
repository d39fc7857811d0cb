import { Controller, Get, Module } from '@nestjs/common';
import { AtEdge } from '../../src/platform/edge/at-edge.js';
import { Answer } from '../../src/platform/http/answer.js';
import { Anyone } from '../../src/platform/http/caller.js';
import type { TestApp } from '../support/app.js';
import { BothWays, bytes } from '../support/both-ways.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { isShared } from '../support/shared.js';

const JWKS = '/.well-known/jwks.json';
const OWN = ['x-request-id', 'ratelimit', 'ratelimit-policy'];
/** What a module of one's own might give to its caller by mistake. */
const GIVEN = {
  'set-cookie': 'a=1',
  'Server-Timing': 'db;dur=3',
  'retry-after': '1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

@Controller('api/v1/careless')
class CarelessController {
  @Get('shared')
  @Anyone()
  @AtEdge()
  shared(): Answer {
    return new Answer({}, { headers: { ...GIVEN, 'cache-control': 'public, max-age=0, s-maxage=9' } });
  }

  @Get('by-cdn')
  @Anyone()
  @AtEdge()
  byCdn(): Answer {
    return new Answer({}, { headers: { ...GIVEN, 'cache-control': 'no-store', 'cdn-cache-control': 'max-age=9' } });
  }

  @Get('own')
  @Anyone()
  @AtEdge()
  own(): Answer {
    return new Answer({}, { headers: { ...GIVEN, 'cache-control': 'private, max-age=9' } });
  }
}

@Module({ controllers: [CarelessController] })
class CarelessModule {}

const cases: [settings: Record<string, string>, isForMany: boolean, control: string, cdn?: string][] = [
  [{}, false, 'public, max-age=0, must-revalidate'],
  [{ PUBLIC_MAX_AGE_S: '60' }, true, 'public, max-age=60, must-revalidate'],
  [
    { PUBLIC_SHARED_MAX_AGE_S: '60' },
    true,
    'public, max-age=0, s-maxage=60, must-revalidate',
    'public, max-age=60, must-revalidate',
  ],
  [
    { PUBLIC_MAX_AGE_S: '5', PUBLIC_SHARED_MAX_AGE_S: '60', PUBLIC_SHARED_STALE_S: '30' },
    true,
    'public, max-age=5, s-maxage=60, stale-while-revalidate=30, must-revalidate',
    'public, max-age=60, stale-while-revalidate=30',
  ],
  [
    { PUBLIC_MAX_AGE_S: '60', PUBLIC_SHARED_MAX_AGE_S: '0' },
    false,
    'public, max-age=60, s-maxage=0, must-revalidate',
    'public, max-age=0, must-revalidate',
  ],
];

describe.each(cases)('with %j', (settings, isForMany, control, cdn) => {
  let both: BothWays;
  let app: TestApp;
  let open: MadeCollection;
  let hidden: MadeCollection;
  let record: string;
  let etag: string;
  beforeAll(async () => {
    both = await BothWays.start(settings, { modules: [CarelessModule], migrations: [] });
    app = both.app;
    open = await makeCollection(app.admin);
    hidden = await makeCollection(app.admin, 'private');
    ({ path: record, etag } = await makeRecord(app.admin, open, { text: 'x'.repeat(2000) }));
    await makeRecord(app.admin, hidden);
  }, 60_000);
  afterAll(() => both?.close());

  const authorization = () => `Bearer ${app.admin.tokens?.accessToken}`;

  /** Asks twice, for what is kept by then, and says whether it is shared. */
  async function look(target: string, asked: Record<string, string> = {}, method = 'GET'): Promise<boolean> {
    const found = new Set<boolean>();
    for (const url of [...both.urls, ...both.urls]) {
      const answer = await fetch(url + target, { method, headers: { 'x-request-id': 'mine', ...asked } });
      const { status, headers } = answer;
      const isFor = isShared(method, asked, status, Object.fromEntries(headers));
      const own = OWN.filter((name) => headers.has(name));
      const isFree = /^\/(?:health|\.well-known)\//.test(target);
      const expected = isFor ? [] : isFree ? ['x-request-id'] : OWN;
      expect([target, method, status, own]).toEqual([target, method, status, expected]);
      if (!isFor) expect(headers.get('x-request-id')).toBe('mine');
      await answer.arrayBuffer();
      found.add(isFor);
    }
    expect(found.size).toBe(1);
    return found.has(true);
  }

  it('tells browsers and shared caches how long they may use what is public', async () => {
    for (const url of both.urls)
      for (const path of [record, open.path]) {
        const { headers } = await fetch(url + path);
        expect([headers.get('cache-control'), headers.get('cdn-cache-control') ?? undefined]).toEqual([control, cdn]);
      }
  });

  it.each(['GET', 'HEAD'])("has nothing of one caller's in what is public and has an age, %s", async (method) => {
    expect(await look(JWKS, {}, method)).toBe(true);
    const headers: Record<string, string>[] = [
      {},
      { 'accept-encoding': 'gzip' },
      { 'accept-encoding': 'zstd' },
      { 'if-none-match': '"x"' },
    ];
    for (const asked of headers) {
      expect(await look(record, asked, method)).toBe(isForMany);
      expect(await look(open.path, asked, method)).toBe(isForMany);
    }
    // RFC 9111, 3.5: public allows it to a caller with a token, too.
    expect(await look(record, { authorization: authorization() }, method)).toBe(isForMany);
  });

  it("has nothing of one caller's in a 304 of that", async () => {
    for (const url of both.urls) {
      const { status, headers } = await fetch(url + record, { headers: { 'if-none-match': etag } });
      expect([status, ...OWN.map((name) => headers.has(name))]).toEqual([304, ...OWN.map(() => !isForMany)]);
    }
  });

  it("has a caller's own in what is private, changes, or failed", async () => {
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
    expect(await look(hidden.path, { authorization: authorization() })).toBe(false);
    expect(await look('/api/v1/users/me', { authorization: authorization() })).toBe(false);
  });

  it('answers with the same bytes with the edge and without it', async () => {
    const asked = [[], [`If-None-Match: ${etag}`], ['Accept-Encoding: zstd'], ['Accept-Encoding: br, gzip']];
    const targets = [
      record,
      open.path,
      hidden.path,
      ...['shared', 'by-cdn', 'own'].map((name) => `/api/v1/careless/${name}`),
    ];
    const found = await both.compare(
      targets.flatMap((target) =>
        asked.flatMap((some) => ['GET', 'HEAD'].map((method) => bytes(method, target, some))),
      ),
    );
    expect(Object.keys(found).sort()).toEqual(['200', '304', '404']);
  });

  it("takes a caller's own out of what a module gives to shared caches, and nothing else", async () => {
    for (const url of both.urls)
      for (const [name, isTaken] of Object.entries({ shared: true, 'by-cdn': true, own: false })) {
        const { headers } = await fetch(`${url}/api/v1/careless/${name}`);
        const left = [...Object.keys(GIVEN), ...OWN].filter((own) => headers.has(own));
        expect([name, left]).toEqual([name, isTaken ? [] : [...Object.keys(GIVEN), ...OWN]]);
      }
  });
});
