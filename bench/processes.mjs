// What is measured of whole processes, each time of fresh ones: memory under many connections, the start, and two workers.
import { setTimeout as sleep } from 'node:timers/promises';
import { slice } from './load.mjs';
import { ALL_CORES, family, forgetPeak, LOAD_CORE, memory, pin } from './machine.mjs';
import { Skipped } from './measure.mjs';
import { loaded } from './scenarios.mjs';

const MANY_CONNECTIONS = 512;
const WARM_S = 2;
/** The first requests of all connections come at once, and wait: in so long they are fewer than one in a hundred. */
const CROWD_S = 4;
/** A process serves long after it has started: this is how long it may put itself in order first. */
const SETTLE_MS = 3000;

/** A contestant of whom a process is started for each slice. `use` has the server, and says what was measured. */
function fresh(name, stage, start, use) {
  const take = async () => {
    const server = await start();
    try {
      return { errors: 0, ...(await use(server)) };
    } finally {
      await stage.clear();
    }
  };
  return { name, take };
}

const crowd = {
  name: 'p99-and-memory',
  yardstick: 'fastify',
  metrics: [
    { name: 'p99 at 512 connections', value: 'p99', unit: 'ms', isLowerBetter: true, must: 1.4, goal: 1.1 },
    {
      name: 'memory under that load, at its peak',
      value: 'peak',
      unit: 'MiB',
      isLowerBetter: true,
      must: 1.4,
      goal: 1.15,
    },
    { name: 'memory after that load', value: 'now', unit: 'MiB', isLowerBetter: true, must: 1.4, goal: 1.15 },
  ],
  async prepare(stage) {
    const under = (name, path, start) =>
      fresh(name, stage, start, async ({ url, pid }) => {
        const target = { url, paths: [path] };
        await sleep(SETTLE_MS);
        const warm = await slice(target, { connections: MANY_CONNECTIONS, seconds: WARM_S });
        forgetPeak(pid);
        const { p99, errors } = await slice(target, { connections: MANY_CONNECTIONS, seconds: CROWD_S });
        return { p99, ...memory(pid), errors: warm.errors + errors };
      });
    const peer = (name) => under(name, `/records/${stage.ids[0]}`, () => stage.peer(name));
    return {
      contestants: [peer('fastify'), under('floodgate', stage.path(), () => stage.floodgate()), peer('nest-usual')],
    };
  },
};

const start = {
  name: 'start',
  yardstick: 'fastify-pg-typeorm',
  metrics: [
    { name: 'start to the first answer', value: 'startMs', unit: 'ms', isLowerBetter: true, must: 2, goal: 1.3 },
  ],
  async prepare(stage) {
    const timed = (name, launch) => fresh(name, stage, launch, ({ startMs }) => ({ startMs }));
    return {
      contestants: [
        timed('fastify-pg-typeorm', () => stage.peer('fastify-pg-typeorm')),
        timed('floodgate', () => stage.floodgate({}, { path: stage.path() })),
        timed('nest-usual', () => stage.peer('nest-usual')),
      ],
    };
  },
};

/** Everything on all cores, for there is no core that two workers could have to themselves beside the load. */
const workers = (name, title, settings, idsOf) => ({
  name,
  ours: 'two workers',
  yardstick: 'one worker',
  metrics: [{ name: title, value: 'rps', unit: '/s' }],
  async prepare(stage, options) {
    const contestants = [];
    for (const [contestant, WEB_CONCURRENCY] of [
      ['one worker', '1'],
      ['two workers', '2'],
    ]) {
      const server = await startWorkers(stage, { WEB_CONCURRENCY, ...settings });
      const target = { url: server.url, paths: idsOf(stage).map((id) => stage.path(id)) };
      contestants.push(loaded(contestant, target, options, { cores: ALL_CORES }));
    }
    pin(process.pid, ALL_CORES);
    const after = async () => {
      await stage.clear();
      pin(process.pid, LOAD_CORE);
    };
    return { contestants, after };
  },
});

/** @throws Skipped, in the server's own words, when this build knows no workers */
async function startWorkers(stage, settings) {
  let server;
  try {
    server = await stage.floodgate(settings, { cores: ALL_CORES });
  } catch (error) {
    throw new Skipped(`Floodgate does not start with WEB_CONCURRENCY=${settings.WEB_CONCURRENCY}. ${error.message}`);
  }
  const count = Math.max(1, family(server.pid).length - 1);
  if (count !== Number(settings.WEB_CONCURRENCY)) {
    throw new Skipped(`With WEB_CONCURRENCY=${settings.WEB_CONCURRENCY}, Floodgate has started ${count} process.`);
  }
  return server;
}

export const processScenarios = [
  crowd,
  start,
  workers('workers', 'two workers, cached', {}, ({ ids }) => ids.slice(0, 1)),
  workers('workers-uncached', 'two workers, uncached', { CACHE_TTL_MS: '0' }, ({ ids }) => ids),
];
