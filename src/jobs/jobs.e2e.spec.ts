import { Injectable, Module } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import { must, readAll, until } from '../../test/support/answers.js';
import { startApp, type TestApp } from '../../test/support/app.js';
import { type Attempt, defineJob, Job } from '../platform/jobs/definition.js';
import { Jobs } from '../platform/jobs/jobs.js';

const DEAD = '/api/v1/admin/jobs/dead';
const again = { retryLimit: 1, retryDelay: 1, retryDelayMax: 1 };
const payload = z.object({ n: z.number(), text: z.string().optional() });
const note = defineJob({ name: 'try.note', payload, ...again });
const fail = defineJob({ name: 'try.fail', payload, ...again });
const once = defineJob({ name: 'try.once', payload, policy: 'short' });
const gone = { ...note, name: 'try.gone' };

interface Seen {
  name: string;
  given: z.infer<typeof payload>;
  attempt: Attempt;
  at: number;
}
const seen: Seen[] = [];
const see = (name: string, given: Seen['given'], attempt: Attempt) =>
  seen.push({ name, given, attempt, at: performance.now() });
let isBroken = true;

@Injectable()
class Tried {
  @Job(note)
  async note(given: Seen['given'], attempt: Attempt): Promise<void> {
    see('note', given, attempt);
  }
  @Job(fail)
  async fail(given: Seen['given'], attempt: Attempt): Promise<void> {
    see('fail', given, attempt);
    if (isBroken) throw new Error(`cannot do ${given.n} \0`);
  }
  @Job(once)
  async once(given: Seen['given'], attempt: Attempt): Promise<void> {
    see('once', given, attempt);
  }
}

@Module({ providers: [Tried] })
class TriedModule {}

let app: TestApp;
let jobs: Jobs;
beforeAll(async () => {
  app = await startApp({}, { modules: [TriedModule], migrations: [] });
  jobs = app.nest.get(Jobs);
});
afterAll(() => app?.close());
beforeEach(() => {
  seen.length = 0;
});

const worked = (name: string, count: number, seconds?: number) =>
  until(async () => seen.filter((one) => one.name === name).length === count, seconds);
const rows = (name: string) => app.database.query('SELECT id, state FROM pgboss.job WHERE name = $1', [name]);

it('works a job with its payload as it was enqueued, once, and leaves no row', async () => {
  const given = { n: 1e21, text: 'a \0 and \ud800' };
  const id = await jobs.enqueue(note, given);
  await worked('note', 1);
  expect(seen[0]).toMatchObject({ given, attempt: { id, number: 1 } });
  await until(async () => (await rows(note.name)).length === 0);
});

it('has a job if the transaction that enqueues it commits, and only then', async () => {
  const source = app.nest.get(DataSource);
  const rolledBack = source.transaction(async (manager) => {
    await jobs.enqueue(note, { n: 1 }, { manager });
    throw new Error('rolled back');
  });
  await expect(rolledBack).rejects.toThrow('rolled back');
  expect(await rows(note.name)).toEqual([]);
  await source.transaction(async (manager) => {
    await jobs.enqueueAll(note, [{ payload: { n: 2 } }, { payload: { n: 3 } }], manager);
  });
  await worked('note', 2);
  expect(seen.map(({ given }) => given.n).sort()).toEqual([2, 3]);
});

it('works a job not before its time', async () => {
  const before = performance.now();
  await jobs.enqueue(note, { n: 1 }, { runAt: new Date(Date.now() + 2000) });
  await worked('note', 1);
  expect((seen[0] as Seen).at - before).toBeGreaterThan(1990);
});

it('refuses an invalid payload, a key without a policy, and a job that nobody handles', async () => {
  await expect(jobs.enqueue(note, { n: 'one' } as never)).rejects.toThrow(z.ZodError);
  await expect(jobs.enqueue(note, { n: 1 }, { key: 'a' })).rejects.toThrow('try.note needs a policy for its keys');
  await expect(jobs.enqueue(gone, { n: 1 })).rejects.toThrow('try.gone');
});

it('lets one job of a key wait, where that is declared', async () => {
  const runAt = new Date(Date.now() + 1500);
  const enqueue = (key: string) => jobs.enqueue(once, { n: 1 }, { key, runAt });
  const ids = [await enqueue('a'), await enqueue('a'), await enqueue('b')];
  expect(ids.map((id) => typeof id)).toEqual(['string', 'undefined', 'string']);
  await worked('once', 2);
});

it('has the schema of this pg-boss: for a later one, add a migration with its getMigrationPlans()', async () => {
  expect([await jobs.boss.schemaVersion(), (await jobs.boss.detectSchemaDrift()).ok]).toEqual([46, true]);
});

describe('a job that fails', () => {
  it('is tried again after a pause, then it is dead, and an admin may have it done anew', async () => {
    isBroken = true;
    const { admin } = app;
    await jobs.enqueue(fail, { n: 7 });
    await worked('fail', 2);
    const [first, second] = seen as [Seen, Seen];
    expect([first.attempt.number, second.attempt.number]).toEqual([1, 2]);
    expect(second.at - first.at).toBeGreaterThan(950);
    await until(async () => (await admin.get(DEAD)).body.items.length === 1);
    const { items, nextCursor } = must(200, await admin.get(DEAD)).body;
    expect(nextCursor).toBeNull();
    const [dead] = items;
    expect(dead).toMatchObject({ job: 'try.fail', payload: { n: 7 }, error: 'cannot do 7 ', attempts: 2 });
    expect(Date.parse(dead.diedAt) - Date.parse(dead.enqueuedAt)).toBeGreaterThan(950);
    isBroken = false;
    const { body } = must(200, await admin.post(`${DEAD}/${dead.id}/retry`, {}));
    expect(body.job).toBe('try.fail');
    await worked('fail', 3);
    expect(seen[2]).toMatchObject({ given: { n: 7 }, attempt: { id: body.id, number: 1 } });
    expect(must(200, await admin.get(DEAD)).body.items).toEqual([]);
    must(404, await admin.post(`${DEAD}/${dead.id}/retry`, {}));
  });

  it('is listed by pages, newest first, and by name', async () => {
    await app.database.query(
      `INSERT INTO pgboss.job (name, data, source_name, source_id, source_created_on, source_retry_count, start_after)
       SELECT 'dead', json_build_object('payload', json_build_object('n', n)::text), 'try.' || n % 2, gen_random_uuid(),
         now(), 0, now() - n * interval '1 ms' FROM generate_series(1, 50) n`,
    );
    const all = await readAll<{ payload: { n: number } }>(app.admin, `${DEAD}?limit=20`);
    expect(all.map(({ payload: { n } }) => n)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
    expect(await readAll(app.admin, `${DEAD}?limit=7&job=try.1`)).toHaveLength(25);
    const { nextCursor } = must(200, await app.admin.get(`${DEAD}?limit=7`)).body;
    must(400, await app.admin.get(`${DEAD}?limit=7&job=try.1&cursor=${nextCursor}`));
  });

  it('is of no concern to anybody else', async () => {
    const user = await app.user('ada');
    must(403, await user.get(DEAD));
    must(401, await app.client.get(DEAD));
  });
});
