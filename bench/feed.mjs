// How many can listen to changes at once? npm run bench:feed [-- --listeners 10000] [--topics 10] [--seconds 30]
//
// Opens streams on one process, spread over collections, makes 20 changes a second, and says how long each takes from its
// POST to the listeners' sockets, what a listener costs, and what the others notice of it.
import { connect as dial } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ALL_CORES, assertMachine, forgetPeak, memory, pin, watchForeign } from './machine.mjs';
import { stopAll } from './servers.mjs';
import { Stage } from './stage.mjs';

const { values } = parseArgs({
  options: {
    listeners: { type: 'string', default: '10000' },
    topics: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '30' },
  },
});
const [listeners, topics, seconds] = [values.listeners, values.topics, values.seconds].map(Number);
const PER_SECOND = 20;
/** Reads and creates of others, meanwhile. */
const OTHERS_PER_SECOND = 200;
const AT_ONCE = 100;

if (isMainThread) {
  assertMachine();
  try {
    await measure(await Stage.open());
  } finally {
    await stopAll();
  }
} else {
  // Its times must not be those of the thread that reads the events.
  parentPort.postMessage(await callAs(workerData));
}

async function measure(stage) {
  const server = await stage.floodgate({
    FEED_LISTENERS: '100000',
    FEED_LISTENERS_PER_CALLER: '100000',
    MAX_CONNECTIONS: '100000',
  });
  // Two shared cores for all: the server, PostgreSQL and the load.
  pin(server.pid, ALL_CORES);
  const names = Array.from({ length: topics }, (_, n) => `feed-${n}`);
  for (const name of names) await stage.api(server.url, 'PUT', `/api/v1/data/${name}`, '{"visibility":"public"}');
  const foreign = watchForeign();
  // Warm, so that the first requests of a new process do not count.
  await othersFor(stage, server.url, 5);
  const alone = await othersFor(stage, server.url, seconds / 2);
  console.log(`others alone: p99 ${alone.toFixed(1)} ms`);
  await sleep(3000);
  const before = memory(server.pid).now;
  const heard = [];
  const began = performance.now();
  const streams = await openAll(server.url, names, (ms) => heard.push(ms));
  console.log(`${streams.length} listeners after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  await sleep(5000);
  const idle = memory(server.pid).now;
  console.log(
    `${before.toFixed(0)} MiB before, ${idle.toFixed(0)} with idle listeners: ${(((idle - before) * 1024) / listeners).toFixed(1)} KiB each`,
  );
  forgetPeak(server.pid);
  const others = othersFor(stage, server.url, seconds);
  const headers = { 'content-type': 'application/json', ...(await stage.bearer(server.url)) };
  const end = performance.now() + seconds * 1000;
  let made = 0;
  for (let next = performance.now(); next < end; next += 1000 / PER_SECOND, made++) {
    await sleep(Math.max(0, next - performance.now()));
    const body = JSON.stringify({ data: { sent: performance.now(), text: 'some text of a usual length' } });
    void fetch(`${server.url}/api/v1/data/${names[made % topics]}/records`, { method: 'POST', headers, body });
  }
  const withThem = await others;
  await sleep(3000);
  const due = (made * listeners) / topics;
  heard.sort((a, b) => a - b);
  const p = (part) => heard[Math.floor(heard.length * part)]?.toFixed(0);
  console.log(
    `${made} changes, ${heard.length} of ${due} events: p50 ${p(0.5)} ms, p99 ${p(0.99)} ms, most ${p(0.99999)} ms`,
  );
  console.log(`others: p99 ${withThem.toFixed(1)} ms, ${(withThem / alone).toFixed(2)} of alone`);
  console.log(
    `peak ${memory(server.pid).peak.toFixed(0)} MiB; other processes used ${(100 * foreign()).toFixed(0)} % of a core`,
  );
  for (const stream of streams) stream.destroy();
}

async function openAll(url, names, hear) {
  const { hostname, port } = new URL(url);
  const streams = [];
  for (let at = 0; at < listeners; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, listeners - at) }, (_, n) =>
      open(hostname, port, names[(at + n) % topics], hear),
    );
    streams.push(...(await Promise.all(some)));
  }
  return streams;
}

/** A listener that looks only for the moment in each event. */
function open(host, port, name, hear) {
  return new Promise((resolve, reject) => {
    const socket = dial({ host, port: Number(port) });
    socket.once('error', reject);
    socket.setEncoding('latin1');
    socket.write(`GET /api/v1/data/${name}/changes HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`);
    let isOpen = false;
    socket.on('data', (text) => {
      if (!isOpen) {
        isOpen = true;
        if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(text.slice(0, 200)));
        socket.off('error', reject);
        socket.on('error', () => {});
        return resolve(socket);
      }
      for (const [, sent] of text.matchAll(/"sent": ?([\d.]+)/g)) hear(performance.now() - Number(sent));
    });
  });
}

/** Reads and creates of others at a steady rate, from a thread of their own. @returns the p99 of their times, in ms */
async function othersFor(stage, url, seconds) {
  const headers = { 'content-type': 'application/json', ...(await stage.bearer(url)) };
  const paths = stage.ids.slice(0, 5000).map((id) => stage.path(id));
  const worker = new Worker(new URL(import.meta.url), { workerData: { url, headers, paths, seconds } });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

async function callAs({ url, headers, paths, seconds }) {
  const times = [];
  const end = performance.now() + seconds * 1000;
  const all = [];
  for (let next = performance.now(), n = 0; next < end; next += 1000 / OTHERS_PER_SECOND, n++) {
    await sleep(Math.max(0, next - performance.now()));
    const begun = performance.now();
    const asked =
      n % 10 === 0
        ? fetch(`${url}/api/v1/data/bench-writes/records`, { method: 'POST', headers, body: '{"data":{"n":1}}' })
        : fetch(url + paths[n % paths.length]);
    all.push(asked.then((answer) => answer.text()).then(() => times.push(performance.now() - begun)));
  }
  await Promise.all(all);
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
}
