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

/** Here is cut off and mended, and says so each time; the other one is ready all the while. */
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

it('nobody knows whether others can, without Redis: it is ready, and says what it lacks', async () => {
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
