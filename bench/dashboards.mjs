// Draws docs/dashboards.svg: the panels of k8s/components/monitoring with what a real Prometheus has for them, from two
// processes, through traffic at a steady rate, a crowd that is too large for them, and a Redis that hangs.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { load as parse } from 'js-yaml';
import { createClient } from 'redis';
import { Prometheus } from '../test/support/prometheus.ts';
import { slice } from './load.mjs';
import { picture } from './panels.mjs';
import { ADMIN, startFloodgate, startPostgres, startRedis, stopAll } from './servers.mjs';

const STEADY_PER_SECOND = 60;
const CROWD = { connections: 400, seconds: 20 };
const REDIS_HANGS_MS = 25_000;
const CALM_MS = 30_000;
const STEP_S = 2;
const RATE_INTERVAL = '6s';

const monitoring = new URL('../k8s/components/monitoring/', import.meta.url);
const output = fileURLToPath(new URL('../docs/dashboards.svg', import.meta.url));
const read = (path) => readFileSync(new URL(path, monitoring), 'utf8');

let prometheus;
const end = async () => {
  await prometheus?.close();
  await stopAll();
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().finally(() => process.exit(130)));
try {
  const redisUrl = await startRedis();
  // A quota that the crowd uses up.
  const settings = {
    DATABASE_URL: await startPostgres(),
    REDIS_URL: redisUrl,
    RATE_LIMIT_REQUESTS: '30000',
    LOGIN_LIMIT: '1000000',
    MIGRATE_ON_START: 'true',
  };
  const [here, there] = [await startFloodgate(settings), await startFloodgate(settings)];
  const { spec } = parse(read('prometheus-rule.yaml'));
  prometheus = await Prometheus.start({ 'floodgate-a': here.url, 'floodgate-b': there.url }, spec);
  const from = Date.now() / 1000 + 10;
  await traffic([here.url, there.url], redisUrl);
  const to = Date.now() / 1000;
  const caption =
    `${Math.round(to - from)} s of two processes on one core: ${STEADY_PER_SECOND} requests a second each; then ` +
    `${CROWD.connections} connections that list without pause; then Redis hangs for ${REDIS_HANGS_MS / 1000} s.`;
  writeFileSync(output, await draw(from, to, caption));
} finally {
  await end();
}

/** The panels of all dashboards that have data here: those of the cluster have none. */
async function draw(from, to, caption) {
  const dashboards = [];
  for (const name of ['requests', 'load', 'pods']) {
    const { title, panels } = JSON.parse(read(`dashboards/floodgate-${name}.json`));
    const drawn = [];
    for (const panel of panels) {
      const lines = (await Promise.all(panel.targets.map((target) => linesOf(target, from, to)))).flat();
      if (lines.length > 0) drawn.push({ title: panel.title, unit: panel.fieldConfig.defaults.unit, lines });
    }
    dashboards.push({ title, panels: drawn });
  }
  return picture(dashboards, { from, to, caption });
}

async function linesOf({ expr, legendFormat }, from, to) {
  const query = expr.replaceAll('$namespace', 'floodgate').replaceAll('$__rate_interval', RATE_INTERVAL);
  const found = await prometheus.queryRange(query, from, to, STEP_S);
  return found
    .map(({ metric, values }) => ({
      name: legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label]),
      points: values.map(([time, value]) => [time, Number(value)]).filter(([, value]) => Number.isFinite(value)),
    }))
    .filter(({ points }) => points.length > 0);
}

async function traffic([here, there], redisUrl) {
  const call = async (url, path, method, body, token) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    return response.json();
  };
  const logIn = () => call(here, '/api/v1/auth/login', 'POST', ADMIN);
  const { accessToken } = await logIn();
  const set = '/api/v1/data/measured';
  await call(here, set, 'PUT', { visibility: 'public' }, accessToken);
  const make = (url) => call(url, `${set}/records`, 'POST', { data: { n: Math.random() } }, accessToken);
  const { id } = await make(here);
  const some = (url) => [
    () => call(url, `${set}/records/${id}`),
    () => call(url, `${set}/records/${id}`),
    () => call(url, `${set}/records?limit=20`),
    () => make(url),
    () => call(url, `${set}/records/nothing`),
  ];
  let number = 0;
  const timers = [here, there].map((url) =>
    setInterval(
      () =>
        some(url)
          [number++ % 5]()
          .catch(() => {}),
      1000 / STEADY_PER_SECOND,
    ),
  );
  timers.push(setInterval(() => logIn().catch(() => {}), 1000));
  timers.push(setInterval(() => [here, there].map((url) => fetch(`${url}/health/ready`).catch(() => {})), 5000));
  await sleep(CALM_MS);
  const paths = Array.from(
    { length: 500 },
    (_, n) => `${set}/records?limit=20&where=${encodeURIComponent(`{"n":${n}}`)}`,
  );
  await slice({ url: here, paths, headers: { authorization: `Bearer ${accessToken}` } }, CROWD);
  await sleep(CALM_MS);
  const redis = await createClient({ url: redisUrl }).connect();
  await redis.sendCommand(['CLIENT', 'PAUSE', String(REDIS_HANGS_MS)]);
  redis.destroy();
  await sleep(REDIS_HANGS_MS + CALM_MS / 2);
  for (const timer of timers) clearInterval(timer);
}
