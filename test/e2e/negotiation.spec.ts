import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { startApp, type TestApp } from '../support/app.js';
import { ask as askAt } from '../support/ask.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';

let app: TestApp;
let large: { path: string; etag: string; id: string };
let small: typeof large;
let records: string;
beforeAll(async () => {
  app = await startApp();
  const set = await makeCollection(app.admin);
  ({ records } = set);
  small = await makeRecord(app.admin, set, { text: 'x' });
  large = plain(await makeRecord(app.admin, set, { text: 'x'.repeat(2000) }));
});
afterAll(() => app?.close());

/** The record with the tag of its uncompressed variant. */
const plain = (record: typeof large) => ({ ...record, etag: record.etag.replace(/-(?:br|zstd|gzip)"$/, '"') });

const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  askAt(app.url + path, headers, method);
const asking = (encoding: string, path = large.path, headers = {}, method = 'GET') =>
  ask(path, { 'accept-encoding': encoding, ...headers }, method);
const variantOf = (etag: string, encoding: string | undefined) =>
  encoding ? etag.replace(/"$/, `-${encoding}"`) : etag;
const unpack = { br: brotliDecompressSync, zstd: zstdDecompressSync, gzip: gunzipSync };

describe('Accept-Encoding', () => {
  it.each([
    ['gzip', 'gzip'],
    ['br', 'br'],
    ['zstd', 'zstd'],
    // As browsers send it.
    ['gzip, deflate, br, zstd', 'zstd'],
    ['gzip, deflate, br', 'br'],
    ['gzip, deflate, zstd', 'zstd'],
    ['gzip;q=0.9, zstd;q=0.9, br;q=0.8', 'zstd'],
    ['GZIP', 'gzip'],
    ['br;q=0.5, gzip;q=0.9', 'gzip'],
    ['deflate, compress, br;q=0.1', 'br'],
    ['zstd;q=0.2, gzip;q=0.3, br;q=0.1', 'gzip'],
    ['br;q=0, gzip', 'gzip'],
    ['*', 'zstd'],
    ['zstd;q=0, *', 'br'],
    ['br;q=0, zstd;q=0, *', 'gzip'],
    ['identity, gzip', 'gzip'],
    ['gzip, identity;q=0', 'gzip'],
  ] as const)('%s gets %s from 1 KiB on', async (header, encoding) => {
    const whole = await ask(large.path);
    const { status, headers, bytes } = await asking(header);
    expect([status, headers['content-encoding']]).toEqual([200, encoding]);
    expect(unpack[encoding](bytes)).toEqual(whole.bytes);
    expect(bytes.length).toBeLessThan(whole.bytes.length / 2);
    expect(headers['content-length']).toBe(String(bytes.length));
    expect(headers.vary).toBe('Accept-Encoding');
    expect(headers.etag).toBe(`"${large.etag.slice(1, -1)}-${encoding}"`);
  });

  it.each([
    '',
    'identity',
    'deflate',
    'deflate, compress',
    'zstd;q=0',
    'gzip;q=0',
    'gzip;q=0, br;q=0.0',
    '*;q=0',
    'identity, gzip;q=0.5',
    ', ;',
  ])('"%s" gets no compression, but a Vary header', async (header) => {
    for (const path of [large.path, small.path]) {
      const { status, headers, bytes } = await asking(header, path);
      expect([status, headers['content-encoding']]).toEqual([200, undefined]);
      expect(JSON.parse(bytes.toString()).id).toBe(path.split('/').at(-1));
      expect(headers.vary).toBe('Accept-Encoding');
      expect(headers.etag).toBe(path === large.path ? large.etag : small.etag);
    }
  });

  it('compresses nothing below 1 KiB, unless the caller accepts nothing else', async () => {
    for (const header of ['gzip', 'br', 'zstd', '*']) {
      const { headers } = await asking(header, small.path);
      expect([headers['content-encoding'], headers.etag]).toEqual([undefined, small.etag]);
    }
    const { headers, bytes } = await asking('gzip, identity;q=0', small.path);
    expect(headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(gunzipSync(bytes).toString()).id).toBe(small.id);
  });

  it('compresses an export while it streams, and problems as well', async () => {
    for (const encoding of ['br', 'zstd', 'gzip'] as const) {
      const lines = await asking(encoding, `${records}/export`);
      expect(lines.headers['content-encoding']).toBe(encoding);
      expect(unpack[encoding](lines.bytes).toString().trimEnd().split('\n')).toHaveLength(2);
    }
    const query = Array.from({ length: 60 }, (_, i) => `parameter-${i}=1`).join('&');
    const { status, headers, bytes } = await asking('gzip', `${records}?${query}`);
    expect([status, headers['content-encoding']]).toEqual([400, 'gzip']);
    expect(JSON.parse(gunzipSync(bytes).toString()).errors).toHaveLength(60);
  });

  it('does not compress a range of a file', async () => {
    const part = await asking('gzip', '/docs/swagger-ui.css', { range: 'bytes=0-1999' });
    expect([part.status, part.headers['content-encoding'], part.bytes.length]).toEqual([206, undefined, 2000]);
  });
});

describe('an entity tag', () => {
  it.each([undefined, 'gzip', 'br', 'zstd'])(
    'of the variant %s gets a 304 with the headers of the 200',
    async (encoding) => {
      const accepted = encoding ?? 'identity';
      const full = await asking(accepted);
      const tag = full.headers.etag as string;
      expect(tag).toBe(variantOf(large.etag, encoding));
      for (const tags of [tag, `W/${tag}`, `"other", ${tag}`, `"other",W/${tag} , "more"`, large.etag, '*']) {
        for (const method of ['GET', 'HEAD']) {
          const { status, headers, bytes } = await asking(accepted, large.path, { 'if-none-match': tags }, method);
          expect([tags, method, status, bytes.length]).toEqual([tags, method, 304, 0]);
          for (const name of ['etag', 'cache-control', 'vary'])
            expect([name, headers[name]]).toEqual([name, full.headers[name]]);
          for (const name of ['content-type', 'content-encoding']) expect(headers[name]).toBeUndefined();
          // The length of the 200's body, or none.
          expect([undefined, full.headers['content-length']]).toContain(headers['content-length']);
        }
      }
      for (const tags of ['"other"', `"other", W/"another"`, tag.slice(1, -1), '', `"${tag.slice(1, -1)}-gzip-br"`])
        expect([tags, (await asking(accepted, large.path, { 'if-none-match': tags })).status]).toEqual([tags, 200]);
    },
  );

  it('of a compressed variant is accepted by If-Match, once', async () => {
    const { path, etag } = plain(await makeRecord(app.admin, { records }, { text: 'y'.repeat(2000) }));
    const { headers } = await asking('gzip', path);
    expect(headers.etag).toBe(variantOf(etag, 'gzip'));
    const ifMatch = { 'if-match': headers.etag as string };
    must(200, await app.admin.patch(path, { data: { n: 1 } }, ifMatch));
    expectProblem(await app.admin.patch(path, { data: { n: 2 } }, ifMatch), 'precondition-failed');
  });
});

it('answers HEAD with the headers of GET, compressed or not, and no body', async () => {
  for (const path of [
    large.path,
    small.path,
    records,
    `${records}/export`,
    `${records}/no-id`,
    '/docs/swagger-ui.css',
  ]) {
    for (const encoding of ['identity', 'gzip', 'br', 'zstd']) {
      const whole = await asking(encoding, path);
      const head = await asking(encoding, path, {}, 'HEAD');
      expect([path, head.status, head.bytes.length]).toEqual([path, whole.status, 0]);
      // The remaining quota differs between the two.
      const { date, 'x-request-id': id, 'transfer-encoding': chunked, ratelimit, ...headers } = whole.headers;
      expect([path, encoding, head.headers]).toEqual([path, encoding, expect.objectContaining(headers)]);
    }
  }
});
