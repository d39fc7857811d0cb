// Is a server behind the admission still worth its capacity when more is asked of it?
// A node:http server with a bottleneck like a pool (10 at a time, 5 ms each, and 50 µs of CPU) meets callers who come
// at a steady rate whether or not they are answered. With --off it stands there without the admission.
import { fork } from 'node:child_process';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { Admission } from '../dist/platform/overload/admission.js';

const CONNECTIONS = 10;
const WORK_MS = Number(process.env.WORK_MS ?? 5);
const CPU_MS = 0.05;
const MOST_SOCKETS = 1000;
const SECONDS = Number(process.env.SECONDS ?? 10);
const isOn = !process.argv.includes('--off');

if (process.argv.includes('--serve')) serve();
else await measure();

function serve() {
  const options = { min: 20, max: 1000, initial: 256, queueMs: 25, deadlineMs: 500 };
  const admission = isOn ? new Admission(options) : undefined;
  const waiting = [];
  let busy = 0;
  const work = (done) => {
    if (busy === CONNECTIONS) return waiting.push(done);
    busy++;
    setTimeout(() => {
      busy--;
      const next = waiting.shift();
      if (next) work(next);
      for (const end = performance.now() + CPU_MS; performance.now() < end; );
      done();
    }, WORK_MS);
  };
  const server = createServer((_request, response) => {
    const start = (leave) =>
      work(() => {
        response.writeHead(200, { 'content-length': '2' }).end('ok');
        leave();
      });
    const refuse = () => response.writeHead(503, { 'content-length': '0', 'retry-after': '1' }).end();
    if (admission) admission.enter('read', start, refuse);
    else start(() => {});
  });
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
  process.on('message', () => process.send({ limit: admission?.limit, rssMiB: process.memoryUsage.rss() / 2 ** 20 }));
  process.on('disconnect', () => process.exit());
}

async function measure() {
  const child = fork(import.meta.filename, [...process.argv.slice(2), '--serve']);
  const told = () => new Promise((resolve) => child.once('message', resolve));
  const port = await told();
  const peak = await drive(port, { callers: 64 });
  const row = async (name, seen) => {
    child.send('');
    const { limit, rssMiB } = await told();
    console.log(
      `${name.padEnd(16)} good ${String(Math.round(seen.good)).padStart(5)}/s (${Math.round((100 * seen.good) / peak.good)} %)`,
      `p50 ${seen.p50.toFixed(1)} p99 ${seen.p99.toFixed(1)} ms; refused ${Math.round(seen.refused)}/s`,
      `p99 ${seen.refusalP99.toFixed(1)} ms; unsent ${seen.unsent}; limit ${limit}, ${Math.round(rssMiB)} MiB`,
    );
  };
  await row('64 callers', peak);
  for (const times of [0.5, 1, 2, 10, 0.5]) {
    await row(`${times} of capacity`, await drive(port, { perSecond: times * peak.good }));
  }
  child.disconnect();
}

/** Callers in a closed loop (`callers`) or coming at a rate (`perSecond`). The first second is not counted. */
function drive(port, { callers, perSecond }) {
  const took = { 200: [], 503: [] };
  const idle = [];
  let sockets = 0;
  let unsent = 0;
  const began = performance.now();
  const ends = began + 1000 * (SECONDS + 1);
  const call = (due) => {
    const socket = idle.pop() ?? (sockets < MOST_SOCKETS ? open() : undefined);
    if (!socket) {
      unsent++;
      return;
    }
    socket.due = due;
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  };
  const open = () => {
    sockets++;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    // Answers are short: one chunk is one answer.
    socket.on('data', (chunk) => {
      const now = performance.now();
      if (socket.due > began + 1000 && socket.due < ends) took[chunk.toString('latin1', 9, 12)].push(now - socket.due);
      idle.push(socket);
      if (callers && now < ends) call(now);
    });
    socket.on('error', () => sockets--);
    socket.on('close', () => idle.splice(0, idle.length, ...idle.filter((one) => one !== socket)));
    return socket;
  };
  for (let caller = 0; caller < (callers ?? 0); caller++) call(began);
  return new Promise((resolve) => {
    let sent = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      // From when it was due, so that a generator that lags does not hide a wait.
      for (; perSecond && now < ends && sent < ((now - began) * perSecond) / 1000; sent++)
        call(began + (sent * 1000) / perSecond);
      if (now < ends + 1500) return;
      clearInterval(timer);
      for (const socket of idle) socket.destroy();
      const [good, refused] = [took[200], took[503]].map((times) => times.sort((a, b) => a - b));
      const at = (times, part) => times[Math.floor(times.length * part)] ?? 0;
      resolve({
        good: good.length / SECONDS,
        refused: refused.length / SECONDS,
        unsent,
        p50: at(good, 0.5),
        p99: at(good, 0.99),
        refusalP99: at(refused, 0.99),
      });
    }, 1);
  });
}
