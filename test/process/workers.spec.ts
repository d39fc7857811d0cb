import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain, workersOf } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';
import { TestRedis } from '../support/redis.js';

let database: TestDatabase;
let redis: TestRedis;
beforeAll(async () => {
  [database, redis] = await Promise.all([createDatabase(), TestRedis.start()]);
});
afterEach(endPrograms);
afterAll(async () => {
  await redis?.kill();
  await database?.drop();
});

const settings = (url = database.url): Record<string, string> => ({
  ...productionSettings(url),
  WEB_CONCURRENCY: '2',
  REDIS_URL: redis.url,
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
  RATE_LIMIT_REQUESTS: '1000000',
});

async function start(wanted = settings()): Promise<{ program: Program; url: string }> {
  const program = startMain(wanted);
  const url = await program.url();
  while (workersOf(program).length < 2) await pause(20);
  return { program, url };
}

/** The status of an answer on a new connection; undefined when it was cut off. */
async function statusOf(url: string): Promise<number | undefined> {
  try {
    const [response] = await once(request(`${url}/api/v1/data`, { agent: false }).end(), 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  } catch {
    return undefined;
  }
}

describe('several workers', () => {
  it.each(['production', 'development'])('are refused without Redis, in %s', async (environment) => {
    const program = startMain({ ...settings(), NODE_ENV: environment, REDIS_URL: '', SINGLE_REPLICA: 'true' });
    expect(await program.end()).toEqual({ code: 1, signal: null });
    expect(program.stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/^REDIS_URL is missing.*WEB_CONCURRENCY/),
    ]);
  });

  it('create the schema and the first admin once, and answer /metrics together', async () => {
    const own = await createDatabase();
    try {
      const { program, url } = await start(settings(own.url));
      expect(program.stdout.match(/The first admin is/g)).toHaveLength(1);
      expect(program.stdout + program.stderr).not.toMatch(/level":"(warn|error|fatal)/);
      for (let n = 0; n < 20; n++) expect(await statusOf(url)).toBe(200);
      for (const accept of ['text/plain', 'application/openmetrics-text']) {
        const response = await fetch(`${url}/metrics`, { headers: { accept } });
        expect(response.headers.get('content-type')).toContain(accept);
        const text = await response.text();
        expect(text).toMatch(/^http_server_request_duration_seconds_count\{.*"\/api\/v1\/data".*\} 20$/m);
        expect(text).toMatch(/^db_client_connection_max 20$/m);
        expect(Number(/^nodejs_eventloop_utilization (\S+)$/m.exec(text)?.[1])).toBeLessThanOrEqual(1);
        expect(text.endsWith('# EOF\n')).toBe(accept !== 'text/plain');
      }
    } finally {
      await endPrograms();
      await own.drop();
    }
  });

  it('finish their running requests at SIGTERM, sent to the primary or to all, and exit with 0', async () => {
    const { program, url } = await start();
    const admin = await new Client(url).signIn(ADMIN.email, ADMIN.password);
    await admin.put('/api/v1/data/slow', { visibility: 'public' });
    const uploads = Array.from({ length: 4 }, () => openSocket(url));
    const answers = uploads.map((socket) => readAnswer(socket));
    const write = (text: string) => uploads.map((socket) => socket.write(text));
    write(
      `POST /api/v1/data/slow/records/bulk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${admin.tokens?.accessToken}\r\n` +
        'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const line = '{"data":{"n":1}}\n';
    const chunk = `${line.length.toString(16)}\r\n${line}\r\n`;
    write(chunk);
    await pause(300);
    program.signal('SIGTERM');
    for (const worker of workersOf(program)) process.kill(worker, 'SIGTERM');
    await pause(500);
    write(`${chunk}0\r\n\r\n`);
    for (const answer of answers) expect((await answer).body).toMatchObject({ inserted: 2, failed: 0 });
    expect(await program.end()).toEqual({ code: 0, signal: null });
    await expect(fetch(url)).rejects.toThrow();
  });

  it('exit at once with a code other than 0 at a second signal', async () => {
    const { program, url } = await start({ ...settings(), DRAIN_DELAY_MS: '20000' });
    program.signal('SIGTERM');
    await program.says(/stopping/);
    program.signal('SIGINT');
    expect((await program.end(3000)).code).toBe(1);
    for (let n = 0; n < 100 && (await statusOf(url)) !== undefined; n++) await pause(20);
    expect(await statusOf(url)).toBeUndefined();
  });

  it('do not start when the first one cannot, which reports the reason', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const program = startMain({ ...settings(), PORT: String(port) });
    expect((await program.end()).code).toBe(1);
    expect(program.stderr).toMatch(new RegExp(`^Port ${port} .*taken`, 'm'));
    server.close();
  });

  it('give up when one cannot be replaced: the others are drained, and the exit code is 1', async () => {
    const own = await createDatabase();
    try {
      const { program } = await start(settings(own.url));
      const name = new URL(own.url).pathname.slice(1);
      await database.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
      process.kill(workersOf(program)[0] as number, 'SIGKILL');
      expect((await program.end(28_000)).code).toBe(1);
      expect(program.stderr).toMatch(/database .* is not currently accepting connections/);
      expect(program.stdout).toMatch(/giving up/);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });
});
