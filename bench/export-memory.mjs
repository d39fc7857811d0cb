// Measures the memory of an export: npm run bench:export [-- records]. Ends with 1 when the peak is over the limit.
// The built app runs as npm start runs it, on the embedded PostgreSQL, in a temporary folder and on loopback only.
// NODE_OPTIONS is passed on: NODE_OPTIONS=--max-semi-space-size=2 npm run bench:export
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const RECORDS = Number(process.argv[2] ?? 1_000_000);
const UPLOAD = 200_000;
const LIMIT_MIB = 150;
const SLOW_MS = 10_000;
const TIMEOUT_MS = 10 * 60_000;

const folder = mkdtempSync(join(tmpdir(), 'floodgate-bench-'));
// As root, PostgreSQL runs as a user of its own, who must be able to go there.
chmodSync(folder, 0o755);
const ADMIN = { email: 'admin@example.com', password: 'admin-of-the-export-bench' };
/** What `npm start` gives to node behind the file of settings. */
const START = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  .scripts.start.split(' ')
  .slice(2);
let app;

async function start() {
  const { PATH, HOME, NODE_OPTIONS = '' } = process.env;
  const child = spawn(process.execPath, START, {
    cwd: new URL('..', import.meta.url),
    env: {
      PATH,
      HOME,
      NODE_OPTIONS,
      DATA_DIR: folder,
      PORT: '0',
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said = (said + chunk).slice(-10_000);
  });
  app = { child, url: undefined };
  for (const end = Date.now() + 60_000; !app.url; await sleep(50)) {
    app.url = /listens on (http:\/\/[^\s;]+)/.exec(said)?.[1];
    if (child.exitCode !== null || Date.now() > end) throw new Error(`The app did not start:\n${said}`);
  }
}

async function stop() {
  if (!app || app.child.exitCode !== null) return;
  app.child.kill('SIGTERM');
  const killing = setTimeout(() => app.child.kill('SIGKILL'), 30_000);
  await once(app.child, 'exit');
  clearTimeout(killing);
}

async function call(method, path, body, headers = {}) {
  const type = { 'content-type': typeof body === 'string' ? 'application/x-ndjson' : 'application/json' };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(app.url + path, { method, headers: { ...type, ...headers }, body: text });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${answer.detail}`);
  return answer;
}

const line = (n) =>
  `${JSON.stringify({ data: { n, name: `sensor ${n % 997}`, value: (n * 7919) % 10_007, ok: n % 3 === 0 }, occurredAt: new Date(Date.UTC(2001, 0, 1) + n * 1000).toISOString() })}\n`;

async function load() {
  const { accessToken } = await call('POST', '/api/v1/auth/login', ADMIN);
  const headers = { authorization: `Bearer ${accessToken}` };
  await call('PUT', '/api/v1/data/bench', { visibility: 'public' }, headers);
  for (let from = 0; from < RECORDS; from += UPLOAD) {
    const count = Math.min(UPLOAD, RECORDS - from);
    const text = Array.from({ length: count }, (_, i) => line(from + i)).join('');
    const { inserted } = await call('POST', '/api/v1/data/bench/records/bulk', text, headers);
    if (inserted !== count) throw new Error(`${inserted} of ${count} were stored`);
  }
}

const rssMib = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${app.child.pid}/status`, 'utf8'))[1]) / 1024;

/** Reads all and keeps nothing. @returns lines (of what is not compressed), bytes, and the app's largest memory meanwhile */
async function measure(name, headers, pauses) {
  const before = rssMib();
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, rssMib());
  }, 50);
  const began = performance.now();
  const asked = request(`${app.url}/api/v1/data/bench/records/export`, { headers, agent: false }).end();
  const [response] = await once(asked, 'response');
  const firstMs = performance.now() - began;
  let [rows, bytes] = [0, 0];
  for await (const chunk of response) {
    bytes += chunk.length;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) rows++;
    // The slow reader takes a chunk of 64 KiB at most every few milliseconds for a while, then the rest.
    if (pauses && performance.now() - began < SLOW_MS) await sleep(20);
  }
  const seconds = (performance.now() - began) / 1000;
  clearInterval(watch);
  const isPlain = !response.headers['content-encoding'];
  if (isPlain && rows !== RECORDS) throw new Error(`${rows} of ${RECORDS} came`);
  const mb = bytes / 1e6;
  console.log(
    `${name.padEnd(12)} ${isPlain ? `${rows} rows, ` : ''}${mb.toFixed(0)} MB in ${seconds.toFixed(1)} s (first after ${firstMs.toFixed(0)} ms), ` +
      `${(mb / seconds).toFixed(1)} MB/s; RSS ${before.toFixed(0)} MiB before, ${peak.toFixed(0)} MiB at its peak`,
  );
  return peak;
}

async function main() {
  await start();
  await load();
  console.log(`Loaded ${RECORDS} records; RSS ${rssMib().toFixed(0)} MiB.`);
  await stop();
  const peaks = [];
  for (const [name, headers, pauses] of [
    ['plain', {}],
    ['slow reader', {}, true],
    ['gzip', { 'accept-encoding': 'gzip' }],
  ]) {
    await start();
    await sleep(2000);
    peaks.push(await measure(name, headers, pauses));
    await stop();
  }
  const peak = Math.max(...peaks);
  console.log(`Largest peak: ${peak.toFixed(0)} MiB, limit ${LIMIT_MIB} MiB.`);
  if (peak > LIMIT_MIB) process.exitCode = 1;
}

const deadline = setTimeout(() => {
  console.error(`Not done within ${TIMEOUT_MS / 60_000} minutes.`);
  process.exitCode = 1;
  void stop().finally(() => process.exit());
}, TIMEOUT_MS);
try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
  await stop();
  rmSync(folder, { recursive: true, force: true });
}
