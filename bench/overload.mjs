// What is a server worth when more is asked of it than it can do? Callers come at a rate, whether or not they are answered:
// npm run bench:overload [-- --only NAME] [--seconds N]

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Crowd } from '../test/support/open-loop.ts';
import { assertMachine, forgetPeak, LOAD_CORE, memory, pin, SERVER_CORE, watchForeign } from './machine.mjs';
import { stopAll } from './servers.mjs';
import { dataOf, RECORDS, Stage } from './stage.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    times: { type: 'string', default: '0.5,1,2,10,0.5' },
    peak: { type: 'string' },
    env: { type: 'string', default: '{}' },
  },
});
const SECONDS = Number(values.seconds);
const RAMP = 1.3;

const kindsOf = {
  cached: (stage) => [{ name: 'cached', paths: [stage.path()] }],
  id: (stage) => [{ name: 'id', paths: stage.ids.slice(0, 20000).map((id) => stage.path(id)) }],
  where: () => [
    {
      name: 'where',
      paths: Array.from({ length: 2500 }, (_, n) => `/api/v1/data/bench/records?where={"distance":${100 + n}}`),
    },
  ],
  create: async (stage, url) => [
    {
      name: 'create',
      method: 'POST',
      paths: ['/api/v1/data/bench-writes/records'],
      headers: await stage.bearer(url),
      body: JSON.stringify({ data: dataOf(7) }),
    },
  ],
};
kindsOf.mix = async (stage, url) => {
  const [cached] = kindsOf.cached(stage);
  const [where] = kindsOf.where(stage);
  const [create] = await kindsOf.create(stage, url);
  const list = { name: 'list', paths: ['/api/v1/data/bench/records?limit=20'] };
  return [
    { ...cached, share: 0.4 },
    { ...list, share: 0.2 },
    { ...where, share: 0.2 },
    { ...create, share: 0.2 },
  ];
};

const cpuOf = (pid) => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').map(Number);
  return (f[11] + f[12]) * 10;
};

assertMachine();
pin(process.pid, LOAD_CORE);
try {
  const stage = await Stage.open();
  for (const name of values.only ? values.only.split(',') : Object.keys(kindsOf)) await measure(stage, name);
} finally {
  await stopAll();
}

async function measure(stage, name) {
  const server = await stage.floodgate({ CACHE_TTL_MS: name === 'id' ? '0' : '60000', ...JSON.parse(values.env) });
  const given = (await kindsOf[name](stage, server.url)).map((kind) => ({ share: 1, ...kind }));
  const kinds = given;
  const crowd = new Crowd(server.url);
  pin(crowd.pid, name === 'where' || name === 'mix' ? SERVER_CORE : LOAD_CORE);
  const call = async (label, perSecond, seconds = SECONDS) => {
    const cpu = cpuOf(server.pid),
      t = performance.now(),
      load = cpuOf(crowd.pid);
    const foreign = watchForeign();
    forgetPeak(server.pid);
    const seen = await crowd.call({ perSecond, seconds, kinds });
    const wall = performance.now() - t;
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const limit = /^admission_limit (\d+)/m.exec(metrics)?.[1];
    const { peak } = memory(server.pid);
    const n = (x, d = 1) => x.toFixed(d);
    console.log(
      `${name.padEnd(7)} ${label.padEnd(6)} ${n(perSecond, 0).padStart(6)}/s: good ${n(seen.goodPerSecond, 0).padStart(6)}/s p50 ${n(seen.p50)} p99 ${n(seen.p99)}; refused ${n(seen.refused / seconds, 0)}/s p99 ${n(seen.refusalP99)}; others ${JSON.stringify(seen.others)}; limit ${limit}; peak ${n(peak, 0)} MiB; server cpu ${n((cpuOf(server.pid) - cpu) / wall, 2)} load ${n((cpuOf(crowd.pid) - load) / wall, 2)} lag ${n(seen.lagP99)} foreign ${n(foreign(), 2)}`,
    );
    if (given.length > 1)
      for (const [k, s] of Object.entries(seen.of))
        console.log(
          `        ${k.padEnd(8)} due ${n(s.due / seconds, 0)} good ${n(s.goodPerSecond, 0)} p50 ${n(s.p50)} p99 ${n(s.p99)} refused ${n(s.refused / seconds, 0)} p99 ${n(s.refusalP99)}`,
        );
    return seen;
  };
  try {
    let peak = Number(values.peak ?? 0);
    if (!peak) {
      for (let rate = name === 'where' || name === 'mix' ? 300 : 3000; ; rate *= RAMP) {
        const { goodPerSecond } = await call('ramp', rate, 2);
        peak = Math.max(peak, goodPerSecond);
        if (goodPerSecond < 0.85 * rate) break;
      }
    }
    console.log(`${name} peak ${peak.toFixed(0)}`);
    for (const times of values.times.split(',').map(Number)) await call(`×${times}`, times * peak);
  } finally {
    crowd.stop();
    await stage.clear();
    if (name === 'create' || name === 'mix') await stage.empty('bench-writes');
  }
}
