import { expectFirstReadsInTime, expectSeenInTime, type Fault, useReplicas } from '../support/changes.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
  await useReplicas(two);
}, 60_000);
afterAll(() => two?.close());

let timer: NodeJS.Timeout | undefined;
const loseMessages = () => {
  timer = setInterval(() => void two.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), 150);
};

const faults: Fault[] = [
  ['messages are lost repeatedly', loseMessages, () => clearInterval(timer)],
  ['the other process is cut off from Redis', () => two.there.toRedis.cut(), () => two.there.toRedis.mend()],
  ['the changing process is cut off from Redis', () => two.here.toRedis.cut(), () => two.here.toRedis.mend()],
  [
    'Redis stops answering the other process',
    () => two.there.toRedis.hold('everything'),
    () => two.there.toRedis.release(),
  ],
  [
    'Redis stops answering the changing process',
    () => two.here.toRedis.hold('everything'),
    () => two.here.toRedis.release(),
  ],
  ['Redis is down', () => two.redis.kill(), () => two.redis.start()],
  ['Redis is frozen', () => two.redis.signal('SIGSTOP'), () => two.redis.signal('SIGCONT')],
];
for (const fault of faults) {
  row(8, fault[0], () => expectSeenInTime(fault));
  row(8, `${fault[0]}, read for the first time`, () => expectFirstReadsInTime(fault));
}
