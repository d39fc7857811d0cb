// What is Floodgate worth when more is asked of it than it can do? Callers come at a rate, whether or not they are answered:
// npm run bench:overload [-- --only NAME,NAME] [--seconds N] [--times 0.8,2,10]
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Crowd } from '../test/support/open-loop.ts';
import { assertMachine, forgetPeak, LOAD_CORE, memory, pin, SERVER_CORE, watchForeign } from './machine.mjs';
import { stopAll } from './servers.mjs';
import { dataOf, Stage } from './stage.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    times: { type: 'string', default: '0.8,1,2,10,0.8' },
  },
});
const RAMP_S = 2;
/** The ramp ends when so little of what comes is answered well. */
const ENOUGH = 0.85;
const MILLISECONDS_PER_JIFFY = 10;

/** Who comes, for each kind of work: at first so many a second, on a core of their own or, where PostgreSQL needs one, the server's. */
const kindsOf = {
  cached: { first: 10_000, kinds: (stage) => [{ name: 'cached', share: 1, paths: [stage.path()] }] },
  id: {
    first: 3000,
    settings: { CACHE_TTL_MS: '0' },
    kinds: (stage) => [{ name: 'id', share: 1, paths: stage.ids.slice(0, 20_000).map((id) => stage.path(id)) }],
  },
  where: { first: 300, cores: SERVER_CORE, kinds: () => [where(1)] },
  create: { first: 1500, kinds: async (stage, url) => [await create(1, stage, url)] },
  mix: {
    first: 300,
    cores: SERVER_CORE,
    kinds: async (stage, url) => [
      { name: 'cached', share: 0.4, paths: [stage.path()] },
      { name: 'list', share: 0.2, paths: ['/api/v1/data/bench/records'] },
      where(0.2),
      await create(0.2, stage, url),
    ],
  },
};

function where(share) {
  const paths = Array.from({ length: 2500 }, (_, n) => `/api/v1/data/bench/records?where={"distance":${100 + n}}`);
  return { name: 'where', share, paths };
}

async function create(share, stage, url) {
  const body = JSON.stringify({ data: dataOf(7) });
  const paths = ['/api/v1/data/bench-writes/records'];
  return { name: 'create', share, method: 'POST', paths, headers: await stage.bearer(url), body };
}

assertMachine();
pin(process.pid, LOAD_CORE);
try {
  const stage = await Stage.open();
  for (const name of values.only?.split(',') ?? Object.keys(kindsOf)) await measure(stage, name);
} finally {
  await stopAll();
}

async function measure(stage, name) {
  const { first, kinds: make, settings = {}, cores = LOAD_CORE } = kindsOf[name];
  const server = await stage.floodgate(settings);
  const kinds = await make(stage, server.url);
  const crowd = new Crowd(server.url);
  pin(crowd.pid, cores);
  const call = async (perSecond, seconds) => {
    const [cpu, began, foreign] = [cpuOf(server.pid), performance.now(), watchForeign()];
    forgetPeak(server.pid);
    const seen = await crowd.call({ perSecond, seconds, kinds });
    const busy = (cpuOf(server.pid) - cpu) / (performance.now() - began);
    return { ...seen, busy, foreign: foreign(), peak: memory(server.pid).peak };
  };
  try {
    let capacity = 0;
    for (let rate = first; ; rate *= 1.3) {
      const { goodPerSecond } = await call(rate, RAMP_S);
      capacity = Math.max(capacity, goodPerSecond);
      if (goodPerSecond < ENOUGH * rate) break;
    }
    console.log(`\n${name}: ${Math.round(capacity)} /s`);
    for (const times of values.times.split(',').map(Number)) {
      const seen = await call(times * capacity, Number(values.seconds));
      report(`${times}×`, seen, capacity);
      if (kinds.length > 1) for (const [kind, one] of Object.entries(seen.of)) report(`  ${kind}`, one);
    }
  } finally {
    crowd.stop();
    await stage.clear();
    await stage.empty('bench-writes');
  }
}

/** Times in ms. */
function report(label, { due, good, goodPerSecond, p50, p99, refused, refusalP99, others, ...rest }, capacity) {
  const { lagP99, busy, foreign, peak } = rest;
  const of = capacity ? ` (${Math.round((100 * goodPerSecond) / capacity)} %)` : ` of ${due}`;
  const machine = capacity
    ? `; ${Math.round(peak)} MiB; server ${busy.toFixed(2)}, others ${foreign.toFixed(2)}, callers late ${lagP99.toFixed(1)}`
    : '';
  console.log(
    `${label.padEnd(10)} good ${capacity ? Math.round(goodPerSecond) : good}${of}, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)};`,
    `refused ${refused}, p99 ${refusalP99.toFixed(1)}; other ${JSON.stringify(others)}${machine}`,
  );
}

/** Milliseconds of processor time. */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').map(Number);
  return (fields[11] + fields[12]) * MILLISECONDS_PER_JIFFY;
}
