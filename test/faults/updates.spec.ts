import { expectFirstReadsInTime, expectSeenInTime, type Fault, useReplicas } from '../support/changes.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
  await useReplicas(two);
}, 60_000);
afterAll(() => two.close());

/** Nobody hears what is said next: the connections for messages end, and are not there again at once. */
async function loseMessages(): Promise<void> {
  await two.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
  expect(await two.redis.command('PUBSUB', 'NUMSUB', 'floodgate1:invalidations')).toMatch(/,0$/);
}

const nothing = () => {};
const faults: Fault[] = [
  ['all is well', nothing, nothing],
  ['the message is lost', loseMessages, nothing],
];
for (const fault of faults) {
  row(8, fault[0], () => expectSeenInTime(fault));
  row(8, `${fault[0]}, read for the first time`, () => expectFirstReadsInTime(fault));
}
