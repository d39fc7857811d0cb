import { Logger } from '@nestjs/common';
import { createClient } from 'redis';
import { until } from '../support/answers.js';
import { CrowdOfReplicas } from '../support/crowd-of-replicas.js';
import { Member } from '../support/member.js';
import { pause } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { type Figures, inMs, row } from '../support/row.js';

const SIZES = [250, 500, 1000, 2000];
const MOST = 2000;
const MEASURED_MS = 6000;
/** How many changes a second are made. */
const RATES = [5, 20, 80];
/** 1 s is promised; the rest is for this process, which plays all replicas. */
const BOUND_MS = 1500;

let redis: TestRedis;
let asked: ReturnType<typeof createClient>;
let crowd: CrowdOfReplicas | undefined;
let members: Member[] = [];
beforeEach(async () => {
  Logger.overrideLogger(false);
  redis = await TestRedis.start('--maxclients', '10000');
  asked = createClient({ url: redis.url });
  await asked.connect();
});
afterEach(async () => {
  await Promise.all(members.map((member) => member.crash()));
  members = [];
  crowd?.close();
  asked?.destroy();
  await redis?.kill();
});

/** @returns what Redis used of its core, and how many commands of a kind it was sent, per second */
async function during(command: string, work: () => Promise<unknown>) {
  const used = async () => {
    const [cpu, stats] = [await asked.info('cpu'), await asked.info('commandstats')];
    const of = (text: string, name: RegExp) => Number(name.exec(text)?.[1] ?? 0);
    return {
      seconds: of(cpu, /used_cpu_sys:(\S+)/) + of(cpu, /used_cpu_user:(\S+)/),
      calls: of(stats, new RegExp(`cmdstat_${command}:calls=(\\d+)`)),
      at: performance.now() / 1000,
    };
  };
  const before = await used();
  await work();
  const after = await used();
  const seconds = after.at - before.at;
  return {
    core: (after.seconds - before.seconds) / seconds,
    calls: (after.calls - before.calls) / seconds,
  };
}

const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
const inMicroseconds = (seconds: number) => `${(1e6 * seconds).toFixed(2)} µs`;

row(
  53,
  'heartbeats',
  async () => {
    const figures: Figures = {};
    const each: number[] = [];
    for (const size of SIZES) {
      crowd = await CrowdOfReplicas.asking(redis.url, size);
      await pause(1000);
      const { core, calls } = await during('eval', () => pause(MEASURED_MS));
      crowd.close();
      // They were all there.
      expect(Number(await redis.command('ZCARD', 'floodgate1:present'))).toBeGreaterThanOrEqual(size);
      figures[`${size} replicas`] = `${Math.round(calls)} calls/s, ${percent(core)}`;
      each.push(core / calls);
    }
    figures['a call costs Redis'] = `${inMicroseconds(Math.min(...each))} to ${inMicroseconds(Math.max(...each))}`;
    // A call costs the same, however many there are.
    expect(each.at(-1)).toBeLessThan(2 * (each[0] as number));
    return figures;
  },
  300_000,
);

row(
  53,
  'heartbeats that each told to all others, for comparison',
  async () => {
    const figures: Figures = {};
    for (const size of [100, 300]) {
      crowd = await CrowdOfReplicas.telling(redis.url, size);
      const [one] = crowd.pairs;
      const { core, calls } = await during('publish', () => pause(MEASURED_MS));
      expect(one?.messages.bytesRead).toBeGreaterThan(0);
      crowd.close();
      const deliveries = calls * size;
      figures[`${size} replicas`] =
        `${Math.round(deliveries)} deliveries/s, ${percent(core)}, ${inMicroseconds(core / deliveries)} each`;
    }
    return figures;
  },
  120_000,
);

/** Starts as many as there may be, four of which are real. @returns those that only send what real ones would */
async function startAll(): Promise<CrowdOfReplicas> {
  crowd = await CrowdOfReplicas.asking(redis.url, MOST);
  members = await Promise.all([1, 2, 3, 4].map(() => Member.start(redis.url, 5000)));
  await until(async () => members.every(({ areHeard }) => areHeard), 30);
  return crowd;
}

row(
  53,
  'changes',
  async () => {
    const all = await startAll();
    const figures: Figures = {};
    const idle = await during('publish', () => pause(MEASURED_MS));
    let slowest = 0;
    for (const rate of RATES) {
      const busy = await during('publish', async () => {
        const begun = performance.now();
        for (let n = 0; performance.now() < begun + MEASURED_MS; n++) {
          all.tell(n * 37, `${rate}-${n}`);
          await pause(Math.max(0, begun + ((n + 1) * 1000) / rate - performance.now()));
        }
      });
      const each = (busy.core - idle.core) / busy.calls;
      figures[`${busy.calls.toFixed(1)} changes/s`] =
        `${percent(busy.core - idle.core)}, ${inMicroseconds(each / MOST)} for each replica`;
      const told = performance.now();
      all.tell(0, 'last');
      await until(async () => members.every(({ dropped }) => dropped.at(-1) === 'last'), 10);
      slowest = Math.max(slowest, ...members.map(({ droppedAt }) => droppedAt - told));
      await pause(500);
    }
    expect(slowest).toBeLessThan(BOUND_MS);
    return { 'heartbeats alone': percent(idle.core), ...figures, 'heard behind them within': inMs(slowest) };
  },
  120_000,
);

row(
  53,
  'a message that nobody hears, and a replica that crashes',
  async () => {
    await startAll();
    const [by, ...others] = members as [Member, ...Member[]];
    const isDropped = (before: number[]) => others.every((one, i) => one.timesDroppedAll > (before[i] as number));
    let before = others.map(({ timesDroppedAll }) => timesDroppedAll);
    await asked.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    const told = performance.now();
    by.invalidations.tell(['thing']);
    await until(async () => isDropped(before), 10);
    const lostMs = Math.max(...others.map(({ droppedAt }) => droppedAt)) - told;
    expect(lostMs).toBeLessThan(BOUND_MS);
    await until(async () => members.every(({ areHeard }) => areHeard), 30);
    before = others.map(({ timesDroppedAll }) => timesDroppedAll);
    members = others;
    await by.crash();
    const crashed = performance.now();
    await until(async () => others.every(({ areHeard }) => !areHeard), 10);
    const untrustedMs = Math.max(...others.map(({ invalidations }) => invalidations.heardUntil)) - crashed;
    expect(untrustedMs).toBeLessThan(BOUND_MS);
    // By then it has left nothing in the second tier, and what it may not have told is dropped.
    await until(async () => isDropped(before) && others.every(({ areHeard }) => areHeard), 90);
    return {
      'all dropped where it was lost within': inMs(lostMs),
      'trusted no longer than': inMs(untrustedMs),
      'and again after': `${Math.round((performance.now() - crashed) / 1000)} s`,
    };
  },
  180_000,
);
