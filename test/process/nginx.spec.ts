import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import { ask } from '../support/ask.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { certify, type Front, NAME, startFront } from '../support/front.js';
import { pause } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { Traffic } from '../support/traffic.js';
import { lines, NDJSON, openUpload, tally } from '../support/uploads.js';

const PATH = '/floodgate';
/** Longer than nginx leaves a process out that failed. */
const AGAIN_MS = 2000;
/** What was sent to a process that ended and not answered may have been done, so that nobody but the caller repeats a POST. */
const isLost = (failure: string) => !/^POST \S+: 503 .*temporary-reduced-capacity/.test(failure);
/** With the line that takes a path off. */
const belowPath = (configuration: string) => configuration.replace('# rewrite', 'rewrite');

describeWith('nginx', 'deploy/nginx.conf', (nginx) => {
  let front: Front;
  beforeAll(async () => {
    // The drain is as long as production has it.
    const settings = { PUBLIC_URL: `https://${NAME}${PATH}`, DRAIN_DELAY_MS: '5000', PUBLIC_SHARED_MAX_AGE_S: '1' };
    front = await startFront(settings, belowPath);
  }, 60_000);
  afterAll(() => front?.close());

  /** How many lines of each process' log have this text. */
  const said = (text: string) => front.programs.map(({ stdout }) => stdout.split(text).length - 1);

  it('is taken by nginx as it stands, without a warning', () => {
    const folder = mkdtempSync(join(tmpdir(), 'floodgate-nginx-'));
    try {
      certify(folder);
      // All that this machine may lack.
      const text = readFileSync('deploy/nginx.conf', 'utf8')
        .replaceAll('/etc/ssl/floodgate', folder)
        .replace('/var/log/nginx', folder)
        .replace('/var/cache/floodgate', `${folder}/cache`)
        .replaceAll(/listen \[::\][^;]*;/g, '');
      writeFileSync(join(folder, 'nginx.conf'), text);
      const parameters = ['-t', '-e', 'stderr', '-c', join(folder, 'nginx.conf'), '-g', `pid ${folder}/pid;`];
      const { status, stderr } = spawnSync(nginx, parameters, { encoding: 'utf8' });
      // What newer versions say of `listen … http2`, and any of a user who is not root.
      const known = /"listen \.\.\. http2" directive is deprecated|"user" directive makes sense only/;
      expect([status, stderr.split('\n').filter((line) => /\[\w+\]/.test(line) && !known.test(line))]).toEqual([0, []]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('speaks HTTP/2 over TLS 1.3, nothing below TLS 1.2, and sends callers without TLS there', async () => {
    const session = connect(`https://127.0.0.1:${front.secure}`, { ca: front.certificate, servername: NAME });
    const stream = session.request({ ':path': '/openapi.json', ':authority': NAME });
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    const protocol = (session.socket as TLSSocket).getProtocol();
    expect([session.alpnProtocol, protocol, headers[':status']]).toEqual(['h2', 'TLSv1.3', 200]);
    stream.resume();
    await once(stream, 'end');
    session.close();
    const old = connectTls({
      port: front.secure,
      host: '127.0.0.1',
      ca: front.certificate,
      servername: NAME,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = (await once(old, 'error')) as [Error];
    expect(error.message).toMatch(/protocol version|unsupported protocol|handshake/i);
    const elsewhere = await ask(`http://127.0.0.1:${front.insecure}/docs?x=1`, { host: NAME });
    expect([elsewhere.status, elsewhere.headers.location]).toEqual([308, `https://${NAME}/docs?x=1`]);
  });

  it('spreads callers over both processes, on connections that are kept', async () => {
    await Promise.all(Array.from({ length: 60 }, () => front.anyone.get('/api/v1/spread')));
    await until(async () => said('"/api/v1/spread"').reduce((sum, count) => sum + count, 0) >= 60);
    for (const count of said('"/api/v1/spread"')) expect(count).toBeGreaterThan(10);
  });

  it('passes on the address of a caller, whatever the caller says', async () => {
    for (const localAddress of ['127.0.0.1', '127.0.0.3']) {
      const path = `/api/v1/from-${localAddress}`;
      const headers = { 'x-forwarded-for': '203.0.113.99', host: NAME };
      const [answer] = await once(httpRequest(front.nginx.url + path, { localAddress, headers }).end(), 'response');
      answer.resume();
      const line = new RegExp(`"${path}"[^\\n]*"ip":"${localAddress}"`);
      await until(async () => front.programs.some(({ stdout }) => line.test(stdout)));
    }
    expect(front.programs.some(({ stdout }) => stdout.includes('203.0.113.99'))).toBe(false);
  });

  it('takes off the path of PUBLIC_URL', async () => {
    const admin = new Client(front.nginx.url + PATH, front.admin.tokens);
    const made = must(201, await admin.put('/api/v1/data/below', { visibility: 'public' }));
    expect(made.headers.get('location')).toBe(`${PATH}/api/v1/data/below`);
    must(200, await new Client(front.nginx.url).get(`${PATH}/api/v1/data/below`));
    const text = `${JSON.stringify({ data: { text: 'x'.repeat(1000) } })}\n`.repeat(2000);
    expect(must(200, await admin.post('/api/v1/data/below/records/bulk', text, NDJSON)).body.inserted).toBe(2000);
    expect((await admin.get('/api/v1/data/nothing')).body.instance).toBe(`${PATH}/api/v1/data/nothing`);
  });

  it('serves files, and what is not among them comes from Floodgate', async () => {
    const page = await ask(front.nginx.url);
    expect([page.status, page.headers['content-type'], page.bytes.toString()]).toEqual([
      200,
      'text/html',
      '<title>A front end</title>',
    ]);
    const script = await ask(`${front.nginx.url}/app.js`, { 'accept-encoding': 'gzip' });
    expect([script.status, script.headers['content-encoding']]).toEqual([200, 'gzip']);
    for (const path of ['/docs', '/openapi.json', '/.well-known/jwks.json'])
      expect([path, (await ask(front.nginx.url + path)).status]).toEqual([path, 200]);
    for (const path of ['/metrics', '/admin', '/admin/app.js', '/health/ready']) {
      const { status, headers, bytes } = await ask(front.nginx.url + path);
      expect([path, status, headers['content-type']]).toEqual([path, 404, 'application/problem+json']);
      expect(JSON.parse(bytes.toString()).status).toBe(404);
    }
  });

  it('sends an upload of some MB on as it comes, and refuses what is too long for other routes', async () => {
    const set = await makeCollection(front.admin);
    const line = (n: number) => `${JSON.stringify({ data: { n, text: 'x'.repeat(1000) } })}\n`;
    const upload = openUpload(front.admin, `${set.records}/bulk`);
    await upload.write(Array.from({ length: 5500 }, (_, n) => line(n)).join(''));
    // Some is stored while the upload is still open.
    await until(async () => (await tally(front.database, set))[0] > 0);
    upload.request.end(Array.from({ length: 500 }, (_, n) => line(5500 + n)).join(''));
    const { status, body } = await upload.answer;
    expect([status, body.inserted, await tally(front.database, set)]).toEqual([200, 6000, [6000, 6000]]);

    const headers = { authorization: `Bearer ${front.admin.tokens?.accessToken}`, 'content-type': 'application/json' };
    const send = (length: number) =>
      fetch(front.nginx.url + set.records, { method: 'POST', headers, body: 'x'.repeat(length) });
    // As long as BODY_LIMIT_BYTES allows: Floodgate sees that it is not JSON.
    expect((await send(1_048_576)).status).toBe(400);
    const long = await send(1_048_577);
    expect([long.status, long.headers.get('content-type')]).toEqual([413, 'application/problem+json']);
    expect((await long.json()).type).toBe('urn:problem-type:floodgate:content-too-large');
  });

  it('takes no process for a failed one when it refuses uploads', async () => {
    const { records } = await makeCollection(front.admin);
    const text = lines(1, 100_000);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        fetch(`${front.nginx.url}${records}/bulk`, { method: 'POST', headers: NDJSON, body: text }),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    const [one = 0, other = 0] = said('"/api/v1/after"');
    await Promise.all(Array.from({ length: 40 }, () => front.anyone.get('/api/v1/after')));
    await until(async () => said('"/api/v1/after"').reduce((sum, count) => sum + count, 0) >= one + other + 40);
    for (const count of said('"/api/v1/after"')) expect(count).toBeGreaterThan(5);
  });

  describe('under load', () => {
    let traffic: Traffic;
    beforeEach(async () => {
      const set = await makeCollection(front.admin);
      const { path } = await makeRecord(front.admin, set);
      traffic = new Traffic(front.admin, [path, `${set.records}?limit=5`, '/api/v1/data'], set.records);
      await pause(500);
    });

    /** The load went on, and what it was told is true. */
    async function stop() {
      const [reads, writes] = [traffic.reads, traffic.created.length];
      await pause(1000);
      await traffic.stop();
      expect(traffic.reads).toBeGreaterThan(reads + 20);
      expect(traffic.created.length).toBeGreaterThan(writes + 5);
      const stored = new Set(
        (await front.database.query<{ id: string }>('SELECT id FROM records')).map(({ id }) => id),
      );
      expect(traffic.created.filter((id) => !stored.has(id))).toEqual([]);
      process.stdout.write(
        `reads ${traffic.reads}, writes ${traffic.created.length}, failed ${traffic.failures.length}\n`,
      );
    }

    it.each([0, 1] as const)('loses neither a read nor a write when process %s drains', async (index) => {
      front.programs[index].signal('SIGTERM');
      expect(await front.programs[index].end()).toEqual({ code: 0, signal: null });
      await pause(500);
      await front.restart(index);
      await pause(AGAIN_MS);
      await stop();
      expect(traffic.failures).toEqual([]);
    });

    it('loses no read when a process is killed, and uses it again when it is back', async () => {
      front.programs[1].signal('SIGKILL');
      await front.programs[1].end();
      await pause(1000);
      await front.restart(1);
      await until(async () => front.programs[1].stdout.includes('"/api/v1/data"'), 20);
      await stop();
      expect(traffic.failures.filter(isLost)).toEqual([]);
    });
  });

  it('says in a problem document that no process answers', async () => {
    for (const program of front.programs) program.signal('SIGKILL');
    await Promise.all(front.programs.map((program) => program.end()));
    const { status, headers, bytes } = await ask(`${front.nginx.url}/api/v1/data`);
    expect([status, headers['content-type'], headers['retry-after']]).toEqual([503, 'application/problem+json', '1']);
    expect(JSON.parse(bytes.toString()).type).toMatch(/#temporary-reduced-capacity$/);
  });
});
