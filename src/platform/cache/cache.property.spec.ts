import fc from 'fast-check';
import { loadConfig } from '../../config.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { Cache } from './cache.js';
import { type Entry, type Loaded, staleness } from './entry.js';
import { Invalidations } from './invalidations.js';

const SEED = 20_260_131;
const config = loadConfig({ NODE_ENV: 'test', DATABASE_URL: 'postgres://nowhere/x', APP_SECRET: 'x'.repeat(40) });

/** A thing and its set are cached by their names, and both are tagged with their owner. */
const OWNER = 'owner';
const SETS = ['a', 'b'];
const THINGS = SETS.flatMap((set) => [`${set}1`, `${set}2`]);
const setOf = (thing: string) => thing.slice(0, 1);

/** The versions that a load has read. */
type Seen = Record<string, number>;

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ read: fc.constantFrom(...THINGS) }) },
  { weight: 2, arbitrary: fc.record({ change: fc.constantFrom(OWNER, ...SETS, ...THINGS) }) },
  { weight: 4, arbitrary: fc.record({ finish: fc.nat({ max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ fail: fc.nat({ max: 9 }) }) },
);

/** A cache whose loads end when the test says so, and the current versions of what they read. */
class World {
  readonly versions: Seen = Object.fromEntries([OWNER, ...SETS, ...THINGS].map((name) => [name, 1]));
  readonly loads: { finish(): void; fail(): void }[] = [];
  readonly reads: Promise<void>[] = [];
  readonly cache: Cache;

  constructor(private readonly ttlMs: number) {
    const others = new Invalidations(new Redis(config), new Background());
    this.cache = new Cache({ ...config, CACHE_MEMORY_BYTES: 1_048_576 }, others);
  }

  change(name: string): void {
    this.versions[name] = (this.versions[name] as number) + 1;
    this.cache.invalidate(name);
  }

  read(thing: string): void {
    const set = setOf(thing);
    const before = { ...this.versions };
    const read = async () => {
      // No other entry may be made of one that was invalidated during its load.
      let entry = await this.fetch(set, [set, OWNER], () => this.seen(set, OWNER));
      while (entry.isSpoiled) entry = await this.fetch(set, [set, OWNER], () => this.seen(set, OWNER));
      const found = entry.value;
      const { value } = await this.fetch(thing, [set, OWNER], () => ({ ...found, ...this.seen(thing) }));
      for (const [name, version] of Object.entries(value))
        if (version < (before[name] as number)) throw new Error(`${name} is of version ${version}`);
    };
    this.reads.push(read().catch((error) => expect(error.message).toBe('failed')));
  }

  private seen(...names: string[]): Seen {
    return Object.fromEntries(names.map((name) => [name, this.versions[name] as number]));
  }

  /** Reads immediately, and resolves when the test says so. */
  private fetch(name: string, tags: string[], look: () => Seen) {
    const load = () =>
      new Promise<Loaded<Seen>>((resolve, reject) => {
        const value = look();
        this.loads.push({
          finish: () => resolve({ value, bytes: 1, tags }),
          fail: () => reject(new Error('failed')),
        });
      });
    return this.cache.fetch(name, load, { ttlMs: this.ttlMs, staleMs: 60_000 });
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

it.each([
  ['that does not expire', 60_000],
  ['that expires at once', 0.001],
])(
  'never serves a value older than the last change before the read, in whatever order loads end, from a cache %s',
  async (_, ttlMs) => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 3, maxLength: 40 }), async (actions) => {
        const world = new World(ttlMs);
        for (const one of actions) {
          if ('read' in one) world.read(one.read);
          else if ('change' in one) world.change(one.change);
          else if ('finish' in one) world.loads.splice(one.finish, 1)[0]?.finish();
          else world.loads.splice(one.fail, 1)[0]?.fail();
          await settled();
        }
        while (world.loads.length > 0) {
          world.loads.pop()?.finish();
          await settled();
        }
        // The cache now holds the current versions only.
        for (const thing of THINGS) {
          world.read(thing);
          for (let i = 0; i < 3; i++) {
            world.loads.splice(0).forEach(({ finish }) => {
              finish();
            });
            await settled();
          }
        }
        await Promise.all(world.reads);
      }),
      { seed: SEED, numRuns: 500, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: false },
    );
  },
  60_000,
);

it('runs one load for 10,000 readers at a time, also after expiry, and gives its result to all', async () => {
  const { cache } = new World(1);
  let loads = 0;
  const load = async () => {
    loads++;
    await settled();
    return { value: loads, bytes: 1 };
  };
  for (const round of [1, 2]) {
    const lifetime = { ttlMs: 1, staleMs: 0 };
    const found = Array.from({ length: 10_000 }, async () => (await cache.fetch('one', load, lifetime)).value);
    expect(new Set(await Promise.all(found))).toEqual(new Set([round]));
    expect(loads).toBe(round);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

it('makes an entry as stale as the one it is made of, until that can be loaded again', async () => {
  const { cache } = new World(1);
  const fail = () => Promise.reject(new Error('failed'));
  const readSet = (load: () => Promise<Loaded<string>>) => cache.fetch('set', load, { ttlMs: 1, staleMs: 60_000 });
  const readThing = (set: Entry) =>
    cache.fetch('thing', async () => ({ value: 'thing', bytes: 1, madeOf: set }), { ttlMs: 60_000, staleMs: 60_000 });
  await readSet(async () => ({ value: 'set', bytes: 1 }));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await readSet(fail);
  await settled();
  const set = await readSet(fail);
  const { freshUntil, retryAt } = await readThing(set);
  expect({ freshUntil, retryAt }).toEqual({ freshUntil: set.freshUntil, retryAt: set.retryAt });
  expect(staleness(cache.peek('thing', performance.now()) as Entry)).toMatch(/ttl=-1$/);

  set.retryAt = 0;
  cache.invalidate('set', 'thing');
  const renewed = await readThing(await readSet(async () => ({ value: 'set', bytes: 1 })));
  expect(staleness(renewed)).toBeUndefined();
});

it('does not serve an expired "not found" when the load fails', async () => {
  const { cache } = new World(1);
  const lifetime = { ttlMs: 1, staleMs: 60_000 };
  await cache.fetch('none', async () => ({ value: undefined, bytes: 1, isAbsent: true }), lifetime);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await expect(cache.fetch('none', () => Promise.reject(new Error('failed')), lifetime)).rejects.toThrow('failed');
});
