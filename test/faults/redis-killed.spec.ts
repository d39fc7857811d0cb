import { Ledger, type Outcome } from '../support/ledger.js';
import { pause } from '../support/process.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
}, 60_000);
afterAll(() => two.close());

row(1, '', async () => {
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const ledger = await Ledger.open(writers.map((writer, i) => (i % 2 ? writer : at(two.there, writer))));
  await pause(3000);
  const killed = Date.now();
  await two.redis.kill();
  await pause(3000);
  const begun = Date.now();
  await two.redis.start();
  const back = await Promise.all([two.here, two.there].map(({ program }) => program.says(/Redis is back/)));
  const reconnectedMs = Date.now() - begun;
  await pause(2000);
  expect(await ledger.settle(two.database)).toEqual([]);
  expect(back).toHaveLength(2);
  const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;
  expect(ledger.outcomes.filter(isFailure)).toEqual([]);
  expect(reconnectedMs).toBeLessThan(5000);
  return {
    'p99 before': inMs(quantile(ledger.times(0, killed), 0.99)),
    'p99 without Redis': inMs(quantile(ledger.times(killed, begun), 0.99)),
    'reconnected in': inMs(reconnectedMs),
    answers: ledger.outcomes.length,
    acknowledged: ledger.acknowledged,
  };
});
