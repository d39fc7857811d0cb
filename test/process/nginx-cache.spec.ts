import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { ask, type PlainAnswer } from '../support/ask.js';
import { etagOf, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { type Front, startFront } from '../support/front.js';
import { pause } from '../support/process.js';
import { describeWith } from '../support/program.js';

const [BROWSER_S, SHARED_S, STALE_S] = [1, 2, 2];
/** When the other process and nginx's clock of whole seconds are slowest. */
const SLACK_S = 2;
const LONG = 'x'.repeat(2000);

describeWith('nginx', 'the cache of deploy/nginx.conf', () => {
  let front: Front;
  let records: string;
  beforeAll(async () => {
    front = await startFront({
      PUBLIC_MAX_AGE_S: String(BROWSER_S),
      PUBLIC_SHARED_MAX_AGE_S: String(SHARED_S),
      PUBLIC_SHARED_STALE_S: String(STALE_S),
    });
    ({ records } = await makeCollection(front.admin));
  }, 60_000);
  afterAll(() => front?.close());

  const newRecord = async () => (await makeRecord(front.admin, { records }, { LONG })).path;
  const read = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    ask(front.nginx.url + path, headers, method);
  /** How often Floodgate was asked for it. */
  const passedOn = (path: string) =>
    front.programs.reduce(
      (sum, { stdout }) => sum + stdout.split(`"GET"`).filter((line) => line.includes(path)).length,
      0,
    );
  /** Once the log is written, which takes Floodgate a tenth of a second. */
  const settled = () => pause(300);
  const without = ({ headers: { date, 'cache-status': status, connection, ...headers } }: PlainAnswer) => headers;

  it("gives three callers one answer, in which nothing is the first one's", async () => {
    const path = await newRecord();
    const before = passedOn(path);
    const first = await read(path, { 'x-request-id': 'of-the-first' });
    const others = [await read(path, { 'x-request-id': 'of-the-second' }), await read(path)];
    for (const answer of [first, ...others]) {
      expect(answer.status).toBe(200);
      for (const name of ['x-request-id', 'ratelimit', 'ratelimit-policy', 'set-cookie', 'retry-after'])
        expect([name, answer.headers[name]]).toEqual([name, undefined]);
    }
    for (const other of others) {
      expect([other.headers['cache-status'], other.bytes]).toEqual(['nginx; hit', first.bytes]);
      expect(without(other)).toEqual(without(first));
      expect(other.headers.date).toBe(first.headers.date);
    }
    await settled();
    expect(passedOn(path) - before).toBe(1);
  });

  it('lets a browser know how old an answer is, so that their ages do not add up', async () => {
    const path = await newRecord();
    await read(path);
    await pause(1500);
    const { headers } = await read(path);
    expect(headers['cache-status']).toBe('nginx; hit');
    // RFC 9111, 4.2.3: its apparent age is more than PUBLIC_MAX_AGE_S already.
    expect(Date.now() - Date.parse(headers.date as string)).toBeGreaterThan(BROWSER_S * 1000);
    expect(headers['cdn-cache-control']).toBe(`public, max-age=${SHARED_S}, stale-while-revalidate=${STALE_S}`);
  });

  it('keeps each encoding by itself, and answers 304 to who has it', async () => {
    const path = await newRecord();
    const unpack = {
      identity: (bytes: Buffer) => bytes,
      gzip: gunzipSync,
      br: brotliDecompressSync,
      zstd: zstdDecompressSync,
    };
    for (const [encoding, unpacked] of Object.entries(unpack)) {
      await read(path, { 'accept-encoding': encoding });
      const { headers, bytes } = await read(path, { 'accept-encoding': encoding });
      expect(headers['cache-status']).toBe('nginx; hit');
      expect([headers['content-encoding'] ?? 'identity', headers.vary]).toEqual([encoding, 'Accept-Encoding']);
      expect(JSON.parse(unpacked(bytes).toString()).data).toEqual({ LONG });
      const known = { 'accept-encoding': encoding, 'if-none-match': headers.etag as string };
      for (const method of ['GET', 'HEAD']) {
        const answer = await read(path, known, method);
        expect([answer.status, answer.headers['cache-status'], answer.bytes.length]).toEqual([304, 'nginx; hit', 0]);
        expect([answer.headers.etag, answer.headers['x-request-id']]).toEqual([headers.etag, undefined]);
      }
    }
  });

  it('asks Floodgate for whoever sends a token, and keeps nothing of that', async () => {
    const hidden = await makeCollection(front.admin, 'private');
    const { path } = await makeRecord(front.admin, hidden);
    const authorization = `Bearer ${front.admin.tokens?.accessToken}`;
    for (let i = 0; i < 3; i++) {
      const { status, headers } = await read(path, { authorization });
      expect([status, headers['cache-status'], headers['cache-control']]).toEqual([
        200,
        undefined,
        'private, no-cache',
      ]);
      expect((await read(path)).status).toBe(404);
    }
    const open = await newRecord();
    await read(open);
    expect((await read(open)).headers['cache-status']).toBe('nginx; hit');
    expect((await read(open, { authorization })).headers['cache-status']).toBeUndefined();
  });

  it('keeps no list and no refusal', async () => {
    for (const path of [
      records,
      `${records.replace(/\/records$/, '')}/stats`,
      `${records}/0198c0de-0000-7000-8000-000000000000`,
    ])
      for (let i = 0; i < 3; i++) {
        const { headers } = await read(path);
        expect([path, headers['cache-status'], headers['x-request-id'] === undefined]).toEqual([
          path,
          undefined,
          false,
        ]);
      }
  });

  it('passes one request on for many who come at once', async () => {
    const path = await newRecord();
    const before = passedOn(path);
    const answers = await Promise.all(Array.from({ length: 50 }, () => read(path)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await settled();
    // More, where this machine was so busy that some had waited long enough.
    expect(passedOn(path) - before).toBeLessThan(10);
  });

  it('shows a change within the sum of the ages, and what is old until then as such', async () => {
    const path = await newRecord();
    await read(path);
    await read(path);
    const etag = etagOf(must(200, await front.admin.get(path)));
    const changed = must(200, await front.admin.patch(path, { data: { n: 2 } }, { 'if-match': etag }));
    const since = performance.now();
    const seen: string[] = [];
    await until(async () => {
      const { headers, bytes } = await read(path);
      const isNew = JSON.parse(bytes.toString()).version === changed.body.version;
      const age = (performance.now() - since) / 1000;
      seen.push(`${isNew ? 'new' : 'old'} ${headers['cache-status'] ?? ''}`);
      if (!isNew && age > SHARED_S + STALE_S + SLACK_S) throw new Error(`old after ${age} s`);
      return isNew && age > SHARED_S + STALE_S + SLACK_S;
    }, 30);
    const firstNew = seen.findIndex((one) => one.startsWith('new'));
    expect(seen.slice(firstNew).filter((one) => one.startsWith('old'))).toEqual([]);
    expect(seen.slice(0, firstNew)).toContain('old nginx; hit');
    // Asked for again meanwhile.
    expect(seen.slice(0, firstNew)).toContain('old nginx; hit; detail=stale');
  }, 60_000);

  it('shows nothing that is older than that sum to the first who asks again', async () => {
    const path = await newRecord();
    await read(path);
    const etag = etagOf(must(200, await front.admin.get(path)));
    const changed = must(200, await front.admin.patch(path, { data: { n: 2 } }, { 'if-match': etag }));
    await pause((SHARED_S + STALE_S + SLACK_S) * 1000);
    const { bytes } = await read(path);
    expect(JSON.parse(bytes.toString()).version).toBe(changed.body.version);
  });
});
