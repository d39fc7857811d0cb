import { expectFirstReadsInTime, expectSeenInTime, type Fault, useReplicas } from '../support/changes.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
  await useReplicas(two);
}, 60_000);
afterAll(() => two?.close());

const CHANNEL = 'floodgate1:invalidations';

const cut = () => two.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');

/** Loses the messages of this moment; everybody is connected again before anybody counts as silent. */
async function loseMessages(): Promise<void> {
  await cut();
  expect(await two.redis.command('PUBSUB', 'NUMSUB', CHANNEL)).toMatch(/,0$/);
}

/** Loses all messages for a while: the connections for them are closed as soon as they are open. */
async function loseThemFor(ms: number): Promise<void> {
  const end = Date.now() + ms;
  const cutOn = async () => {
    while (Date.now() < end) await cut();
  };
  await loseMessages();
  void cutOn();
}

const nothing = () => {};
const faults: Fault[] = [
  ['all is well', nothing, nothing],
  ['the message is lost', () => loseThemFor(300), nothing],
  ['the message is lost, and the next one is not', loseMessages, nothing],
  ['a malformed message is published', () => two.redis.command('PUBLISH', CHANNEL, 'null'), nothing],
];
for (const fault of faults) {
  row(8, fault[0], () => expectSeenInTime(fault));
  row(8, `${fault[0]}, read for the first time`, () => expectFirstReadsInTime(fault));
}
