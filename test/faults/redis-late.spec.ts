import { etagOf, makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';

/** The delay in each direction; a message takes twice that. */
const LATE_MS = 2000;
const CHANGES = 5;
/** 1 s is promised; the rest is for a slow machine. */
const BOUND_MS = 2000;

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
}, 60_000);
afterAll(() => two?.close());

row(8, 'when all messages are late', async () => {
  const owner = await two.user();
  const made = await makeRecord(owner, await makeCollection(owner), { n: 0 });
  const ways = [two.here.toRedis, two.there.toRedis];
  for (const way of ways) way.slow(LATE_MS);
  // By now they arrive as regularly as before.
  await pause(2 * LATE_MS + 2000);
  let { etag } = made;
  let slowest = 0;
  for (let n = 1; n <= CHANGES; n++) {
    // The old version is cached there.
    must(200, await two.there.anyone.get(made.path));
    etag = etagOf(must(200, await owner.patch(made.path, { data: { n } }, { 'if-match': etag })));
    const changed = Date.now();
    while (must(200, await two.there.anyone.get(made.path)).body.data.n < n) await pause(20);
    slowest = Math.max(slowest, Date.now() - changed);
  }
  for (const way of ways) way.slow(0);
  expect(slowest).toBeLessThan(BOUND_MS);
  return { 'a message takes': inMs(2 * LATE_MS), 'seen at the other replica within': inMs(slowest) };
});
