import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { expectProblem } from '../support/problem.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database?.drop());

const DRAIN_DELAY_MS = 1500;

async function start(settings: Record<string, string> = {}): Promise<{ program: Program; admin: Client }> {
  const program = startMain({
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    DATABASE_LOCK_TIMEOUT_MS: '15000',
    ...settings,
  });
  const admin = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
  return { program, admin };
}

/** Runs the work while a change of a collection waits for a row lock, which `release` frees. */
async function withStuckRequest(
  admin: Client,
  work: (stuck: ReturnType<Client['put']>, release: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  await admin.put('/api/v1/data/stuck', { visibility: 'public' });
  const { headers } = await admin.get('/api/v1/data/stuck');
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    await holder.query('BEGIN; SELECT * FROM collections FOR UPDATE');
    const stuck = admin.put(
      '/api/v1/data/stuck',
      { visibility: 'private' },
      { 'if-match': headers.get('etag') as string },
    );
    stuck.catch(() => {});
    const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    while ((await database.query(waits)).length === 0) await pause(10);
    await work(stuck, () => holder.query('ROLLBACK'));
  } finally {
    await holder.end();
  }
}

describe.each(['SIGTERM', 'SIGINT'] as const)('at %s', (signal) => {
  it('stops being ready at once, keeps serving for DRAIN_DELAY_MS, and exits with 0', async () => {
    const { program, admin } = await start({ DRAIN_DELAY_MS: String(DRAIN_DELAY_MS) });
    const began = Date.now();
    program.signal(signal);
    await program.says(/stopping/);
    const ready = await admin.get('/health/ready');
    expectProblem(ready, 'temporary-reduced-capacity');
    expect(ready.body.checks.process.status).toBe('down');
    expect((await admin.get('/health/live')).status).toBe(200);
    expect((await admin.get('/api/v1/users/me')).status).toBe(200);
    expect((await admin.put(`/api/v1/data/${signal.toLowerCase()}`, { visibility: 'public' })).status).toBe(201);
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(Date.now() - began).toBeGreaterThanOrEqual(DRAIN_DELAY_MS - 50);
    await expect(admin.get('/health/live')).rejects.toThrow();
  });
});

it('closes idle connections to PostgreSQL as soon as it is told to stop', async () => {
  const { program, admin } = await start({ DRAIN_DELAY_MS: '8000' });
  const connections = async () => {
    const [found] = await database.query<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'floodgate'`,
    );
    return found?.count as number;
  };
  const write = (n: number) => admin.put(`/api/v1/data/c${n}`, { visibility: 'public' });
  await Promise.all(Array.from({ length: 20 }, (_, n) => write(n)));
  expect(await connections()).toBeGreaterThan(8);
  program.signal('SIGTERM');
  await program.says(/stopping/);
  // Three are left: two for short reads, and the one that checks whether PostgreSQL is up.
  const leavesThree = async () => {
    for (const deadline = Date.now() + 2000; Date.now() < deadline && (await connections()) > 3; ) await pause(50);
    expect(await connections()).toBeLessThanOrEqual(3);
  };
  await leavesThree();
  expect((await write(20)).status).toBe(201);
  await leavesThree();
  expect(await program.end()).toEqual({ code: 0, signal: null });
});

it('takes no new connections in the second half of DRAIN_DELAY_MS, and closes persistent ones with an answer', async () => {
  const { program, admin } = await start({ DRAIN_DELAY_MS: '3000' });
  await admin.put('/api/v1/data/kept', { visibility: 'public' });
  // Each has a connection of its own.
  const agents = Array.from({ length: 3 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  const connectionOf = async (method: string, path: string, agent: Agent) => {
    const [response] = await once(httpRequest(admin.url + path, { agent, method }).end(), 'response');
    response.resume();
    await once(response, 'end');
    expect(response.statusCode).toBe(200);
    return response.headers.connection;
  };
  // The edge answers the first two once they are cached, and the pipeline the third.
  const asked = [
    ['GET', '/api/v1/data/kept'],
    ['HEAD', '/api/v1/data/kept'],
    ['GET', '/openapi.json'],
  ] as const;
  const all = () =>
    Promise.all(asked.map(([method, path], index) => connectionOf(method, path, agents[index] as Agent)));
  await connectionOf('GET', '/api/v1/data/kept', agents[0] as Agent);
  await all();
  program.signal('SIGTERM');
  await program.says(/stopping/);
  expect(await all()).toEqual(['keep-alive', 'keep-alive', 'keep-alive']);
  await pause(1800);
  await expect(connectionOf('GET', '/api/v1/data/kept', new Agent())).rejects.toThrow(/ECONNREFUSED/);
  expect(await all()).toEqual(['close', 'close', 'close']);
  expect(agents.flatMap(({ freeSockets }) => Object.keys(freeSockets))).toEqual([]);
  expect(await program.end()).toEqual({ code: 0, signal: null });
});

it('answers a running request before it exits', async () => {
  const { program, admin } = await start();
  await withStuckRequest(admin, async (stuck, release) => {
    program.signal('SIGTERM');
    await program.says(/stopping/);
    await pause(500);
    expect(program.isRunning).toBe(true);
    await release();
    const { status, headers, body } = await stuck;
    expect([status, body.visibility, headers.get('connection')]).toEqual([200, 'private', 'close']);
    const began = Date.now();
    expect(await program.end()).toEqual({ code: 0, signal: null });
    // Its connection, which could have stayed open, did not delay the exit.
    expect(Date.now() - began).toBeLessThan(5000);
  });
});

it('finishes a running upload, and stores all of it', async () => {
  const { program, admin } = await start();
  await admin.put('/api/v1/data/slow', { visibility: 'public' });
  const socket = openSocket(admin.url);
  const answer = readAnswer(socket);
  socket.write(
    `POST /api/v1/data/slow/records/bulk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${admin.tokens?.accessToken}\r\n` +
      'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  const line = (n: number) => {
    const text = `{"data":{"n":${n}}}\n`;
    return `${text.length.toString(16)}\r\n${text}\r\n`;
  };
  for (let n = 0; n < 10; n++) {
    socket.write(line(n));
    await pause(100);
    if (n === 3) program.signal('SIGTERM');
  }
  expect(program.isRunning).toBe(true);
  socket.write('0\r\n\r\n');
  expect((await answer).body).toEqual({ inserted: 10, failed: 0, errors: [] });
  expect(await program.end()).toEqual({ code: 0, signal: null });
  expect(await database.query('SELECT FROM records')).toHaveLength(10);
});

it('is not delayed by idle keep-alive connections', async () => {
  const { program, admin } = await start();
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  const get = async () => {
    const [response] = await once(httpRequest(`${admin.url}/health/live`, { agent }).end(), 'response');
    response.resume();
    await once(response, 'end');
  };
  await Promise.all(Array.from({ length: 20 }, get));
  const silent = openSocket(admin.url);
  await once(silent, 'connect');
  try {
    const began = Date.now();
    program.signal('SIGTERM');
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(Date.now() - began).toBeLessThan(5000);
  } finally {
    agent.destroy();
    silent.destroy();
  }
});

it('tells callers that it serves during the stop to use another connection next time', async () => {
  const { program, admin } = await start();
  await withStuckRequest(admin, async (stuck, release) => {
    const socket = openSocket(admin.url);
    await once(socket, 'connect');
    const answer = readAnswer(socket);
    socket.write('GET /health/live HTTP/1.1\r\n');
    program.signal('SIGTERM');
    await program.says(/stopping/);
    await pause(300);
    socket.write('Host: localhost\r\n\r\n');
    const { status, headers } = await answer;
    expect([status, headers.get('connection')]).toEqual([200, 'close']);
    await release();
    expect((await stuck).status).toBe(200);
    expect((await program.end()).code).toBe(0);
  });
});

it('exits at once with a code other than 0 at a second signal', async () => {
  const { program, admin } = await start();
  await withStuckRequest(admin, async () => {
    program.signal('SIGTERM');
    await program.says(/stopping/);
    await pause(200);
    expect(program.isRunning).toBe(true);
    const began = Date.now();
    program.signal('SIGINT');
    const { code, signal } = await program.end();
    expect([code === 0, signal]).toEqual([false, null]);
    expect(Date.now() - began).toBeLessThan(3000);
  });
});

it('exits with a code other than 0 when a request is not done after DRAIN_TIMEOUT_MS', async () => {
  const { program, admin } = await start({ DRAIN_TIMEOUT_MS: '1000' });
  await withStuckRequest(admin, async () => {
    const began = Date.now();
    program.signal('SIGTERM');
    expect((await program.end()).code).toBe(1);
    expect(Date.now() - began).toBeGreaterThanOrEqual(900);
    expect(Date.now() - began).toBeLessThan(10_000);
  });
});

it('is not delayed by a slow reader of its log', async () => {
  const { program, admin } = await start();
  program.restMs = 100;
  const path = `/${'a'.repeat(6000)}`;
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 100 }, () => admin.get(path)));
  const began = Date.now();
  program.signal('SIGTERM');
  while (program.isRunning && Date.now() < began + 20_000) await pause(20);
  expect(Date.now() - began).toBeLessThan(6000);
  expect(program.stdout).not.toContain('Stopped.');
  program.restMs = 0;
  expect(await program.end()).toEqual({ code: 0, signal: null });
});

it('stops removing the records of a deleted collection', async () => {
  const { program, admin } = await start();
  const { body } = await admin.put('/api/v1/data/many', { visibility: 'private' });
  expect(body.name).toBe('many');
  await database.query(
    `INSERT INTO records (collection_id, data) SELECT id, '{}' FROM collections, generate_series(1, 150000) WHERE name = 'many'`,
  );
  const left = async () => Number((await database.query<{ n: string }>('SELECT count(*) AS n FROM records'))[0]?.n);
  const all = await left();
  await admin.send('DELETE', '/api/v1/data/many', undefined, { 'if-match': '*' });
  while ((await left()) === all) await pause(5);
  program.signal('SIGTERM');
  expect(await program.end()).toEqual({ code: 0, signal: null });
  // The next process continues.
  expect(await left()).toBeGreaterThan(0);
}, 60_000);
