import { until } from '../support/answers.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause } from '../support/process.js';
import { type Replica, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';

const SEEN_WITHIN_MS = 5000;

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
}, 60_000);
afterAll(() => two?.close());

const ready = ({ anyone }: Replica) => anyone.get('/health/ready');
const isReady = async (replica: Replica) => (await ready(replica)).body.status === 'ok';

/** Cuts one replica off and mends it; it reports both, and the other one stays ready throughout. */
async function alone(cut: (here: Replica) => unknown, mend: (here: Replica) => unknown) {
  const { here, there } = two;
  const statuses = new Set<number>();
  const both = async (until: (status: number) => boolean) => {
    const begun = Date.now();
    for (;;) {
      statuses.add((await ready(there)).status);
      const answer = await ready(here);
      if (until(answer.status)) return { answer, ms: Date.now() - begun };
      if (Date.now() - begun > 2 * SEEN_WITHIN_MS) throw new Error(`it says ${answer.text}`);
      await pause(50);
    }
  };
  await cut(here);
  const left = await both((status) => status === 503);
  expectProblem(left.answer, 'temporary-reduced-capacity');
  expect(left.answer.body.checks.postgresql).toEqual({ status: 'down', message: 'cannot be reached' });
  expect(left.ms).toBeLessThan(SEEN_WITHIN_MS);
  await mend(here);
  const back = await both((status) => status === 200);
  await until(() => isReady(here));
  expect([...statuses]).toEqual([200]);
  expectUnharmed(here.program, there.program);
  return { 'left out in': inMs(left.ms), 'back in': inMs(back.ms) };
}

row(49, 'refused', () =>
  alone(
    ({ toDatabase }) => toDatabase.cut(),
    ({ toDatabase }) => toDatabase.mend(),
  ),
);

row(49, 'held', () =>
  alone(
    ({ toDatabase }) => toDatabase.hold('everything'),
    ({ toDatabase }) => toDatabase.release(),
  ),
);

row(49, 'and then the other replica as well', async () => {
  const { here, there } = two;
  const says = (replica: Replica, ...what: unknown[]) =>
    until(async () => {
      const { status, body } = await ready(replica);
      return String([status, body.checks.postgresql.status]) === String(what);
    }, 10);
  await here.toDatabase.cut();
  await says(here, 503, 'down');
  await there.toDatabase.cut();
  const begun = Date.now();
  // The cached answers of either are better than none.
  await Promise.all([says(here, 200, 'down'), says(there, 200, 'down')]);
  const ms = Date.now() - begun;
  await there.toDatabase.mend();
  await Promise.all([says(here, 503, 'down'), says(there, 200, 'up')]);
  await here.toDatabase.mend();
  await says(here, 200, 'up');
  expectUnharmed(here.program, there.program);
  return { 'ready without it in': inMs(ms) };
});

row(49, 'a second longer than the others, after all were', async () => {
  const { here, there } = two;
  const seen = new Set<number>();
  const untilSaid = (what: string) =>
    until(async () => {
      const { status, body } = await ready(here);
      seen.add(status);
      return body.status === what;
    });
  const ROUNDS = 4;
  for (let i = 0; i < ROUNDS; i++) {
    for (const { toDatabase } of [here, there]) toDatabase.hold('everything');
    await Promise.all([untilSaid('degraded'), until(async () => !(await isReady(there)))]);
    // At a different time between two checks in each round.
    await pause(2000 + i * 500);
    there.toDatabase.release();
    await until(() => isReady(there));
    await pause(1000);
    here.toDatabase.release();
    await untilSaid('ok');
  }
  expect([...seen]).toEqual([200]);
  expectUnharmed(here.program, there.program);
  return { times: ROUNDS, 'left out': 0 };
});

row(49, 'repeatedly, each time too briefly to be taken out of service', async () => {
  const { here } = two;
  const seen = new Set<number>();
  for (let i = 0; i < 4; i++) {
    await here.toDatabase.cut();
    await until(async () => (await ready(here)).body.checks.postgresql.status === 'down');
    seen.add((await ready(here)).status);
    await here.toDatabase.mend();
    await until(async () => {
      const { status, body } = await ready(here);
      seen.add(status);
      return body.status === 'ok';
    });
  }
  expect([...seen]).toEqual([200]);
  return { times: 4, 'left out': 0 };
});

it('reports each change of readiness once in its log and its metrics', async () => {
  const { here } = two;
  const figure = async () => Number(/^postgresql_up (\S+)$/m.exec((await here.anyone.get('/metrics')).text)?.[1]);
  expect(await figure()).toBe(1);
  const from = here.program.stdout.length;
  await here.toDatabase.cut();
  await until(async () => (await ready(here)).status === 503);
  expect(await figure()).toBe(0);
  await here.toDatabase.mend();
  await until(async () => (await ready(here)).body.status === 'ok');
  await until(async () => (await figure()) === 1);
  const said = () =>
    here.program.stdout
      .slice(from)
      .split('\n')
      .filter((line) => line.includes('PrimaryWatch') && line.endsWith('}'))
      .map((line) => JSON.parse(line).message);
  const last = 'PostgreSQL can be used again.';
  // Earlier lines may still be on their way.
  await until(async () => said().length >= 4 && said().at(-1) === last);
  expect(said().slice(-4)).toEqual([
    expect.stringMatching(/^PostgreSQL cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:\d+$/),
    'Other replicas can use PostgreSQL: this one says that it is not ready.',
    'This replica says that it is ready again.',
    last,
  ]);
});

it('is ready again when Redis fails while it is out of service, since it no longer knows whether others can serve', async () => {
  const { here, redis } = two;
  await here.toDatabase.cut();
  await until(async () => (await ready(here)).status === 503);
  await redis.kill();
  await until(async () => (await ready(here)).body.status === 'degraded');
  await here.toDatabase.mend();
  await redis.start();
  await until(() => isReady(here));
}, 60_000);

it('stays ready without Redis and reports the failed dependency, since it does not know whether others can serve', async () => {
  const { here, redis } = two;
  await redis.kill();
  await here.toDatabase.cut();
  await until(async () => (await ready(here)).body.checks.postgresql.status === 'down');
  await pause(3000);
  const { status, body } = await ready(here);
  expect([status, body.status]).toEqual([200, 'degraded']);
  await here.toDatabase.mend();
  await redis.start();
  await until(() => isReady(here));
}, 60_000);
