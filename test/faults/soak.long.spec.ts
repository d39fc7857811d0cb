import { type Held, Inspector, slope } from '../storm/heap.js';
import { House } from '../storm/house.js';
import { Loads } from '../storm/loads.js';
import { pause } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';

const SECONDS = Number(process.env.SOAK_SECONDS ?? 90);
/** The time until caches are full and code is compiled. */
const WARM_S = Math.min(120, SECONDS / 3);
const EVERY_MS = 5000;
const REFRESH_MS = 3000;
const MIB = 1_048_576;
/** The largest slope of the heap, in MiB a minute. It goes up and down by 2 MiB within half a minute, which shows in a short run. */
const MOST_RISE = SECONDS < 300 ? 3 : 0.25;
/** The number of sockets that come and go. */
const DESCRIPTORS = 12;

let house: House;
beforeAll(async () => {
  // A small cache, because a cache that is still filling would hide a leak for minutes.
  house = await House.start({ CACHE_MEMORY_BYTES: String(MIB), NODE_OPTIONS: '--inspect=127.0.0.1:0' });
}, 120_000);
afterAll(() => house?.close(), 60_000);

interface Sample extends Held {
  minute: number;
  descriptors: number;
}

row(
  45,
  '',
  async () => {
    const inspectors = await Promise.all(house.replicas.map(({ program }) => Inspector.of(program)));
    const loads = await Loads.open(house, REFRESH_MS);
    const begun = Date.now();
    await pause(WARM_S * 1000);
    const samples: Sample[][] = [[], []];
    while (Date.now() - begun < SECONDS * 1000) {
      for (const [index, inspector] of inspectors.entries()) {
        const minute = (Date.now() - begun) / 60_000;
        const descriptors = house.replicas[index]?.descriptors ?? 0;
        samples[index]?.push({ ...(await inspector.held()), minute, descriptors });
      }
      await pause(EVERY_MS);
    }
    const violations = await loads.settle(house);
    for (const inspector of inspectors) inspector.close();
    expect(violations).toEqual([]);
    const answers = loads.all.flatMap(({ outcomes }) => outcomes);
    expect(answers.filter(({ status }) => status === 0 || status >= 500)).toEqual([]);
    const rises = samples.map((of) => slope(of.map(({ minute, heapUsed, external }) => [minute, heapUsed + external])));
    const rise = Math.max(...rises) / MIB;
    expect(rise).toBeLessThan(MOST_RISE);
    const spans = samples.map((of) => {
      const counts = of.map(({ descriptors }) => descriptors);
      return [Math.min(...counts), Math.max(...counts)] as [number, number];
    });
    for (const [least, most] of spans) expect(most - least).toBeLessThanOrEqual(DESCRIPTORS);
    const ends = (what: keyof Held) =>
      samples.map((of) => [of[0], of.at(-1)].map((one) => ((one?.[what] ?? 0) / MIB).toFixed(1)).join(' to '));
    return {
      minutes: (SECONDS / 60).toFixed(1),
      answers: answers.length,
      p99: inMs(quantile(loads.ledger.times(), 0.99)),
      'heap after a collection, MiB': ends('heapUsed').join(' and '),
      'its rise, MiB a minute': rises.map((one) => (one / MIB).toFixed(3)).join(' and '),
      'resident, MiB': ends('rss').join(' and '),
      descriptors: spans.map((span) => span.join(' to ')).join(' and '),
    };
  },
  (SECONDS + 120) * 1000,
);
