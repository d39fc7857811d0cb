import pg from 'pg';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { ADMIN, startApp, type TestApp, testEnvironment } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { createDatabase } from '../support/database.js';
import { forward } from '../support/forwarder.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';

/** Asks again until the status is the wanted one. */
async function until(status: number, ask: () => Promise<Response>, timeoutMs = 10_000): Promise<Response> {
  for (const deadline = Date.now() + timeoutMs; ; await pause(50)) {
    const answer = await ask();
    if (answer.status === status || Date.now() > deadline) {
      expect(answer.status).toBe(status);
      return answer;
    }
  }
}

describe('when PostgreSQL is gone', () => {
  it('answers 503 until it is back, and then as before, without a restart', async () => {
    const database = await createDatabase();
    const way = await forward(database.url);
    const app = await createApp(loadConfig({ ...testEnvironment(way.url), DATABASE_ACQUIRE_TIMEOUT_MS: '500' }));
    try {
      const client = new Client(await app.listen());
      const admin = await client.signIn(ADMIN.email, ADMIN.password);
      expect((await admin.put('/api/v1/data/flights', { visibility: 'public' })).status).toBe(201);
      expect((await client.get('/health/startup')).status).toBe(200);
      await way.cut();
      const ready = await until(503, () => client.get('/health/ready'));
      expectProblem(ready, 'temporary-reduced-capacity');
      expect(ready.body.checks).toMatchObject({ process: { status: 'up' }, postgresql: { status: 'down' } });
      const asked = [
        () => client.get('/api/v1/data/flights'),
        () => client.get('/api/v1/data'),
        () => client.post('/api/v1/auth/login', ADMIN),
        () => client.post('/api/v1/auth/register', { ...ADMIN, email: 'b@example.com', name: 'B' }),
        () => admin.post('/api/v1/data/flights/records', { data: {} }),
        () => admin.post('/api/v1/data/flights/records/bulk', [{ data: {} }]),
      ];
      for (const ask of asked) expectProblem(await ask(), 'temporary-reduced-capacity');
      expect((await client.get('/health/live')).status).toBe(200);
      expect((await client.get('/metrics')).status).toBe(200);
      expect((await client.get('/health/startup')).status).toBe(200);
      await way.mend();
      await until(200, () => client.get('/health/ready'));
      expect((await client.get('/api/v1/data/flights')).status).toBe(200);
      expect((await admin.post('/api/v1/data/flights/records', { data: { n: 1 } })).status).toBe(201);
    } finally {
      await app.stop();
      await way.close();
      await database.drop();
    }
  });

  it('outlives the end of all its sessions', async () => {
    const app = await startApp();
    try {
      const requests = Array.from({ length: 20 }, () => app.client.get('/api/v1/data'));
      await app.database.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
      for (const answer of await Promise.all(requests))
        if (answer.status !== 200) expectProblem(answer, 'temporary-reduced-capacity');
      await until(200, () => app.client.get('/api/v1/data'));
      await until(200, () => app.client.get('/health/ready'));
    } finally {
      await app.close();
    }
  });
});

it('outlives the end of a session in the middle of an upload', async () => {
  const app = await startApp();
  try {
    await app.admin.put('/api/v1/data/flights', { visibility: 'public' });
    const path = '/api/v1/data/flights/records/bulk?atomic=true';
    const socket = openSocket(app.url);
    const answer = readAnswer(socket);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${app.admin.tokens?.accessToken}\r\n` +
        'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n',
    );
    const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND state = 'idle in transaction'`;
    while ((await app.database.query(end)).length === 0) await pause(10);
    await pause(200);
    socket.write('d\r\n{"data":{}}]\n\r\n0\r\n\r\n');
    expectProblem(await answer, 'temporary-reduced-capacity');
    expect((await app.client.get('/api/v1/data/flights/records')).body.items).toEqual([]);
  } finally {
    await app.close();
  }
});

describe('when something holds a lock', () => {
  let app: TestApp;
  let holder: pg.Client;
  let ifMatch: string;
  beforeAll(async () => {
    app = await startApp({
      DATABASE_POOL_SIZE: '2',
      DATABASE_ACQUIRE_TIMEOUT_MS: '300',
      DATABASE_LOCK_TIMEOUT_MS: '1500',
    });
    const { headers } = await app.admin.put('/api/v1/data/flights', { visibility: 'public' });
    ifMatch = headers.get('etag') as string;
    holder = new pg.Client({ connectionString: app.database.url });
    await holder.connect();
  });
  beforeEach(() => holder.query('BEGIN; SELECT * FROM collections FOR UPDATE'));
  afterEach(() => holder.query('ROLLBACK'));
  afterAll(async () => {
    await holder.end();
    await app.close();
  });

  const change = () => app.admin.put('/api/v1/data/flights', { visibility: 'public' }, { 'if-match': ifMatch });
  /** How many of the app's statements wait for a lock. */
  const waiting = async () =>
    (
      await app.database.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
    ).length;

  it('gives up after DATABASE_LOCK_TIMEOUT_MS with 503', async () => {
    expectProblem(await change(), 'temporary-reduced-capacity');
  });

  it('refuses with 503 who gets no connection in DATABASE_ACQUIRE_TIMEOUT_MS, and stays ready', async () => {
    const stuck = [change(), change()];
    while ((await waiting()) < 2) await pause(10);
    const began = Date.now();
    const refused = await Promise.all(Array.from({ length: 30 }, () => app.client.get('/api/v1/data')));
    // They were refused before the lock's time-out could have freed a connection.
    expect(Date.now() - began).toBeLessThan(1300);
    for (const answer of refused) expectProblem(answer, 'temporary-reduced-capacity');
    expect((await app.client.get('/health/ready')).status).toBe(200);
    for (const answer of await Promise.all(stuck)) expectProblem(answer, 'temporary-reduced-capacity');
    expect((await app.client.get('/api/v1/data')).status).toBe(200);
  });

  it('finishes what waits when the lock goes in time', async () => {
    const change1 = change();
    while ((await waiting()) < 1) await pause(10);
    await holder.query('ROLLBACK');
    const { status, headers } = await change1;
    expect(status).toBe(200);
    ifMatch = headers.get('etag') as string;
  });
});
