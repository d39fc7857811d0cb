// A separate thread, so that the senders do not slow down the measurements: see `drip` in crowd.ts.
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { port, senders, everyMs, burst } = workerData as {
  port: number;
  /** The text that each sends at once, and the one that it sends a byte at a time. */
  senders: { start: string; rest: string }[];
  everyMs: number;
  burst: number;
};

const ends: { status: number; ms: number }[] = [];
const open = new Set<() => void>();

function begin({ start, rest }: { start: string; rest: string }): void {
  const begun = performance.now();
  const socket = connect(port, '127.0.0.1');
  let received = '';
  let at = 0;
  const send = () => void (socket.writable && rest !== '' && socket.write(rest[at++ % rest.length] as string));
  // The start waits for the connection, and the dripped bytes wait behind it.
  if (start !== '') socket.write(Buffer.from(start, 'latin1'));
  open.add(send);
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    open.delete(send);
    ends.push({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 0), ms: performance.now() - begun });
    if (ends.length === senders.length) end();
  });
}

function end(): void {
  clearInterval(opening);
  clearInterval(dripping);
  parentPort?.postMessage({ ends });
}

let next = 0;
const opening = setInterval(() => {
  for (const sender of senders.slice(next, next + burst)) begin(sender);
  next += burst;
  if (next < senders.length) return;
  clearInterval(opening);
  parentPort?.postMessage({ open: open.size });
}, 20);
const dripping = setInterval(() => {
  for (const send of open) send();
}, everyMs);
