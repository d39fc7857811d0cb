import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { until } from '../support/collections.js';
import type { TestDatabase } from '../support/database.js';
import { databaseOfNotes, enqueue, makeNotes, notesOf, startJobs } from '../support/jobs-program.js';
import { deployedPooler, TestPooler } from '../support/pooler.js';
import { endPrograms, expectUnharmed, type Program, pause } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { TestServer } from '../support/standby.js';
import { entries, newTrace, TracedApp } from '../support/traced.js';

/** Three start at once, on a machine that may be busy. */
const START_MS = 60_000;

let database: TestDatabase;
beforeEach(async () => {
  database = await databaseOfNotes();
});
afterEach(async () => {
  await endPrograms();
  await database.drop();
});

const started = async (settings: Record<string, string> = {}) => {
  const program = startJobs(database.url, { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password, ...settings });
  await program.says(/listens on/, START_MS);
  return program;
};

const begun = (count: number, seconds = 15) =>
  until(async () => (await notesOf(database, `what = 'begun' AND name <> 'tick'`)).length >= count, seconds);
const allDone = (count: number, seconds = 30) =>
  until(async () => {
    const [found] = await database.query<{ count: number }>(
      `SELECT count(DISTINCT job)::int AS count FROM notes WHERE what = 'done' AND name <> 'tick'`,
    );
    return found?.count === count;
  }, seconds);

it('enqueues one job for a cron time, however many replicas there are', async () => {
  const programs = await Promise.all([started(), started(), started()]);
  await until(async () => (await notesOf(database, `name = 'tick' AND what = 'done'`)).length > 0, 40);
  // Long enough for the others to look, and to be in the next minute.
  await pause(35_000);
  const ticks = await notesOf(database, `name = 'tick' AND what = 'begun'`);
  const minutes = new Set(ticks.map(({ at }) => Math.floor(at.getTime() / 60_000)));
  expect(new Set(ticks.map(({ job }) => job)).size).toBe(ticks.length);
  expect(ticks.length).toBeLessThanOrEqual(minutes.size + 1);
  expectUnharmed(...programs);
}, 120_000);

it('gives the jobs of a worker that was killed to another one, within 25 s and the pause before a retry', async () => {
  const first = await started();
  await enqueue(database, 3, { ms: 5000 });
  await begun(3);
  first.signal('SIGKILL');
  await first.end();
  const second = await started();
  await allDone(3, 35);
  const notes = await notesOf(database, `what = 'done' AND name <> 'tick'`);
  expect(notes.map(({ pid, attempt }) => [pid, attempt])).toEqual(Array(3).fill([second.pid, 2]));
}, 90_000);

it('finishes a job in hand at SIGTERM, and begins none', async () => {
  const program = await started();
  await enqueue(database, 1, { ms: 2000 });
  await begun(1);
  program.signal('SIGTERM');
  await pause(200);
  await enqueue(database, 1);
  expect(await program.end()).toEqual({ code: 0, signal: null });
  const notes = await notesOf(database, `name <> 'tick'`);
  expect(notes.map(({ what, attempt }) => [what, attempt])).toEqual([
    ['begun', 1],
    ['done', 1],
  ]);
  expect(await database.query(`SELECT state FROM pgboss.job WHERE name = 'test.note'`)).toEqual([{ state: 'created' }]);
});

it('gives a job back that would not be done in time, and another worker takes it at once, as if it was new', async () => {
  const [first, second] = [await started({ DRAIN_TIMEOUT_MS: '2000' }), await started({ WORKER: 'off' })];
  await enqueue(database, 1, { ms: 20_000 });
  await begun(1);
  first.signal('SIGTERM');
  const third = await started();
  expect(await first.end()).toEqual({ code: 0, signal: null });
  const end = Date.now();
  await begun(2, 5);
  expect(Date.now() - end).toBeLessThan(3000);
  const notes = await notesOf(database, `name <> 'tick'`);
  expect(notes.map(({ pid, attempt }) => [pid, attempt])).toEqual([
    [first.pid, 1],
    [third.pid, 1],
  ]);
  expectUnharmed(second, third);
});

it('works one at a time where that is declared, over all replicas', async () => {
  const programs = await Promise.all([started(), started()]);
  await enqueue(database, 4, { ms: 300 }, 'test.alone');
  await allDone(4, 60);
  const notes = await notesOf(database, `name = 'alone'`);
  expect(notes.map(({ what }) => what)).toEqual(Array(4).fill(['begun', 'done']).flat());
  expectUnharmed(...programs);
}, 90_000);

describe('WORKER', () => {
  const outcome = async (program: Program) => {
    const url = await program.url();
    const paths = ['/health/ready', '/metrics', '/api/v1/admin/jobs/dead', '/docs', '/'];
    return Promise.all(paths.map(async (path) => (await fetch(url + path)).status));
  };

  it('only: works jobs, and answers nothing but probes', async () => {
    const program = await started({ WORKER: 'only' });
    expect(await outcome(program)).toEqual([200, 200, 404, 404, 404]);
    await enqueue(database, 2);
    await allDone(2);
  });

  it('off: serves, and leaves jobs to others, which it can enqueue for', async () => {
    const web = await started({ WORKER: 'off' });
    const [ready, metrics, me] = await outcome(web);
    expect([ready, metrics, me]).toEqual([200, 200, 401]);
    const client = new Client(await web.url());
    const { status, body } = await client.post('/api/v1/notes', {});
    expect([status, typeof body.id]).toEqual([201, 'string']);
    await pause(3000);
    expect(await notesOf(database)).toEqual([]);
    expect((await client.get('/metrics')).text).not.toMatch(/^jobs_waiting/m);
    await started({ WORKER: 'only' });
    await allDone(1);
  });
});

it('counts jobs in /metrics, and what waits for how long', async () => {
  const client = new Client(await (await started({ JOB_CONCURRENCY: '1' })).url());
  await enqueue(database, 3, { ms: 8000, failures: 1 });
  const figure = async (name: string) => {
    const { text } = await client.get('/metrics');
    return Number(new RegExp(`^${name}(?:\\{queue="test.note"\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  };
  await until(async () => (await figure('jobs_active')) === 1);
  await until(async () => (await figure('jobs_waiting')) === 2, 20);
  expect(await figure('jobs_oldest_waiting_seconds')).toBeGreaterThan(1);
  expect([await figure('jobs_done_total'), await figure('jobs_dead')]).toEqual([0, 0]);
  await until(async () => (await figure('jobs_failed_total')) >= 1, 20);
});

it('loses no job when PostgreSQL is restarted under them, and says so in few lines', async () => {
  const server = await TestServer.start();
  try {
    await makeNotes(server);
    const programs = [startJobs(server.url), startJobs(server.url)];
    await Promise.all(programs.map((program) => program.says(/listens on/, START_MS)));
    await enqueue(server, 2000, { ms: 20 });
    const done = async () => {
      const notes = `SELECT count(DISTINCT job)::int AS count FROM notes WHERE name = 'note' AND what = 'done'`;
      return (await server.query<{ count: number }>(notes).catch(() => []))[0]?.count ?? 0;
    };
    await until(async () => (await done()) > 200);
    await server.stop();
    await pause(3000);
    const anyone = new Client(await (programs[0] as Program).url());
    expect((await anyone.get('/health/ready')).status).toBe(200);
    await server.restart();
    await until(async () => (await done()) === 2000, 60);
    const left = `SELECT count(*)::int AS count FROM pgboss.job WHERE name IN ('test.note', 'dead')`;
    await until(async () => (await server.query<{ count: number }>(left))[0]?.count === 0, 40);
    expectUnharmed(...programs);
    for (const program of programs) {
      const lines = entries(program).filter((entry) => ['Jobs', 'JobWorker'].includes(entry['log.logger']));
      expect(lines.filter(({ message }) => /^Jobs (?:wait|go on)/.test(message)).length).toBeGreaterThanOrEqual(2);
      expect(lines.length).toBeLessThan(60);
    }
  } finally {
    await endPrograms();
    await server.drop();
  }
}, 180_000);

describeWith('pgbouncer', 'behind PgBouncer in transaction mode', () => {
  it('works jobs, with retries, and gives them back', async () => {
    const pooler = await TestPooler.start(database.url, deployedPooler());
    try {
      const settings = { DATABASE_MIGRATION_URL: database.url };
      const programs = [startJobs(pooler.url, settings), startJobs(pooler.url, settings)];
      await Promise.all(programs.map((program) => program.says(/listens on/, START_MS)));
      await enqueue(database, 300, { ms: 5 });
      await enqueue(database, 5, { failures: 1 });
      await allDone(305);
      expectUnharmed(...programs);
    } finally {
      await endPrograms();
      await pooler.close();
    }
  }, 60_000);
});

describe('with traces', () => {
  const app = new TracedApp();

  it("has a job's span and its lines in the trace of who enqueued it", async () => {
    const program = startJobs(database.url, app.settings({ DATABASE_URL: database.url }));
    const client = new Client(await program.url());
    const { traceId, headers } = newTrace();
    await client.post('/api/v1/notes', {}, headers);
    await allDone(1);
    const spans = () => app.collector.of(traceId).filter(({ name }) => name === 'process test.note');
    await until(async () => spans().length === 2);
    expect(spans().map(({ kind, isError }) => [kind, isError])).toEqual([
      ['consumer', true],
      ['consumer', false],
    ]);
    const line = entries(program).find(({ message }) => /^The job test\.note .* failed in attempt 1/.test(message));
    expect([line['trace.id'], line['span.id']]).toEqual([traceId, spans()[0]?.spanId]);
  });
});
