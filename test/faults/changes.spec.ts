import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { EventReader } from '../support/events.js';
import { Follower } from '../support/follower.js';
import { limit } from '../support/limit.js';
import { expectUnharmed, pause } from '../support/process.js';
import { at, type Replicas, startReplicas, untilHeard } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';
import { TestServer } from '../support/standby.js';
import { inMiB, memoryOf } from '../support/watch.js';

let server: TestServer;
let two: Replicas;
beforeAll(async () => {
  server = await TestServer.start(undefined, false);
  two = await startReplicas({ FEED_LISTENERS_PER_CALLER: '100000' }, server);
}, 60_000);
afterAll(() => two?.close());

/** Creates records, changes and removes them, until it is told to stop. Nothing counts but what was acknowledged. */
async function write(by: Client, set: MadeCollection, acknowledged: Map<string, number[]>, isOver: () => boolean) {
  for (let n = 0; !isOver(); n++) {
    const made = await by.post(set.records, { data: { n } }).catch(() => undefined);
    if (made?.status !== 201) {
      await pause(50);
      continue;
    }
    const versions = [1];
    acknowledged.set(made.body.id, versions);
    let last = made;
    for (let times = n % 3; times > 0; times--) {
      const headers = { 'if-match': last.headers.get('etag') as string };
      const changed = await by
        .patch(`${set.records}/${made.body.id}`, { data: { times } }, headers)
        .catch(() => undefined);
      if (changed?.status !== 200) break;
      versions.push(changed.body.version);
      last = changed;
    }
    if (n % 4 !== 0) continue;
    const headers = { 'if-match': last.headers.get('etag') as string };
    const gone = await by.delete(`${set.records}/${made.body.id}`, headers).catch(() => undefined);
    if (gone?.status === 204) versions.push(0);
  }
}

row(
  54,
  'the right to listen ends while the replica is cut off from PostgreSQL and Redis',
  async () => {
    const { here, there, admin } = two;
    const set = await makeCollection(admin, 'public', `closed-${Date.now()}`);
    const followers = [false, true].map((isPolling) => new Follower([there.anyone], `${set.path}/changes`, isPolling));
    await until(async () => followers.every(({ hasBegun }) => hasBegun));
    const { id } = await makeRecord(admin, set);
    await until(async () => followers.every(({ seen }) => seen.has(id)));
    there.toDatabase.hold('everything');
    await there.toRedis.cut();
    must(200, await admin.put(set.path, { visibility: 'private' }, { 'if-match': set.etag }));
    await pause(5000);
    await makeRecord(admin, set);
    there.toDatabase.release();
    await pause(4000);
    await there.toRedis.mend();
    await untilHeard();
    for (const follower of followers) await follower.stop();
    expect(followers.map(({ seen }) => [...seen.keys()])).toEqual([[id], [id]]);
    expectUnharmed(here.program, there.program);
    return { followers: followers.length, 'told of what is private': 0 };
  },
  60_000,
);

row(
  54,
  'a replica killed (-9), Redis lost and PostgreSQL killed, one after the other',
  async () => {
    const { here, there, admin, redis } = two;
    const set = await makeCollection(admin, 'public', `feed-${Date.now()}`);
    const hidden = await makeCollection(admin, 'private', `hidden-${Date.now()}`);
    const followers = Array.from(
      { length: 40 },
      (_, n) => new Follower(n % 2 ? [here.anyone, there.anyone] : [there.anyone, here.anyone], `${set.path}/changes`),
    );
    const stranger = new Follower([there.anyone], `${hidden.path}/changes`);
    await until(async () => followers.every(({ streams }) => streams > 0));
    const acknowledged = new Map<string, number[]>();
    let isOver = false;
    const writer = at(there, admin);
    const writing = [set, set, set, hidden].map((to) =>
      write(writer, to, to === set ? acknowledged : new Map(), () => isOver),
    );
    await pause(2000);
    here.program.signal('SIGKILL');
    await pause(2000);
    await redis.kill();
    await pause(2000);
    await redis.start();
    await pause(1000);
    server.kill();
    await pause(1500);
    await server.restart();
    await pause(4000);
    isOver = true;
    await Promise.all(writing);
    const missing = ({ seen }: Follower) =>
      [...acknowledged].filter(([id, versions]) => !versions.every((version) => seen.get(id)?.includes(version)));
    await until(async () => followers.every((follower) => missing(follower).length === 0), 20).catch(() => {});
    for (const follower of followers) await follower.stop();
    await stranger.stop();
    for (const follower of followers) {
      expect(missing(follower)).toEqual([]);
      expect(follower.disorder).toEqual([]);
      expect(follower.resets).toBe(0);
    }
    expect(stranger.seen.size).toBe(0);
    const changes = [...acknowledged.values()].reduce((sum, { length }) => sum + length, 0);
    expect(changes).toBeGreaterThan(100);
    return {
      followers: followers.length,
      changes,
      streams: followers.reduce((sum, { streams }) => sum + streams, 0),
      'came again': followers.reduce((sum, { repeated }) => sum + repeated, 0),
    };
  },
  120_000,
);

row(
  63,
  '',
  async () => {
    const { there, admin } = two;
    const writer = at(there, admin);
    const set = await makeCollection(writer, 'public', `unread-${Date.now()}`);
    const { hostname, port } = new URL(there.anyone.url);
    const sockets: Socket[] = [];
    for (let n = 0; n < 400; n++) {
      const socket = connect({ host: hostname, port: Number(port) }).pause();
      socket.on('error', () => {});
      socket.write(`GET ${set.path}/changes HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
      sockets.push(socket);
    }
    const reader = await EventReader.open(there.anyone, `${set.path}/changes`);
    await until(async () => reader.lastId !== '');
    const before = memoryOf(there.program);
    let most = before;
    const times: number[] = [];
    const text = 'x'.repeat(60_000);
    for (let n = 0; n < 100; n++) {
      expect((await writer.post(set.records, { data: { n, text } })).status).toBe(201);
      const begun = performance.now();
      expect((await there.anyone.get(set.path)).status).toBe(200);
      times.push(performance.now() - begun);
      most = Math.max(most, memoryOf(there.program));
    }
    // A reader who reads has every one of them.
    await until(async () => reader.events.length === 100 || reader.isOver);
    expect(reader.events.map(({ data }) => data.data.n)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    reader.close();
    const { text: metrics } = await there.anyone.get('/metrics');
    const open = Number(/^resources_in_use\{resource="feed_listeners"\} (\d+)/m.exec(metrics)?.[1]);
    expect(most - before).toBeLessThan(200);
    for (const socket of sockets) socket.destroy();
    return {
      'listeners that never read': sockets.length,
      'still open': open,
      'memory before': inMiB(before),
      'at most': inMiB(most),
      'p99 of others': inMs(quantile(times, 0.99)),
    };
  },
  120_000,
);

limit('UNREAD_BYTES', async () => {
  const { there, admin } = two;
  const sentAway = async () => {
    const { text } = await there.anyone.get('/metrics');
    return Number(/^feed_listeners_sent_away_total\{reason="slow"\} (\d+)/m.exec(text)?.[1] ?? 0);
  };
  const set = await makeCollection(at(there, admin), 'public', `slow-${Date.now()}`);
  const { hostname, port } = new URL(there.anyone.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(`GET ${set.path}/changes HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
  await once(socket, 'data');
  // One that has caught up: before, a reader has it at its own pace.
  await at(there, admin).post(set.records, { data: { n: -1 } });
  await once(socket, 'data');
  await pause(2000);
  socket.pause();
  const text = 'x'.repeat(60_000);
  // More than the system takes for a reader who takes nothing.
  const post = (_: unknown, n: number) => at(there, admin).post(set.records, { data: { n, text } });
  const before = await sentAway();
  // At once, or it would be dropped for taking nothing.
  await Promise.all(Array.from({ length: 300 }, post));
  // It is too slow as soon as the feed has come to these changes.
  await until(async () => (await sentAway()) > before);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.resume();
  await once(socket, 'close');
  expect(received).toMatch(/retry: \d+\n\n\r\n0\r\n\r\n$/);
  const last = [...received.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] as string;
  let rest = '';
  for (let path = `${set.path}/changes?after=${last}`, isOver = false; !isOver; ) {
    const { text, headers } = must(200, await there.anyone.get(path));
    path = /<([^>]+)>/.exec(headers.get('link') as string)?.[1] as string;
    isOver = text === '';
    rest += text;
  }
  const numbers = (of: string) => [...of.matchAll(/"data":\{"n": ?(\d+)/g)].map(([, n]) => Number(n));
  const seen = [...numbers(received), ...numbers(rest)].sort((a, b) => a - b);
  expect(seen).toEqual(Array.from({ length: 300 }, (_, n) => n));
});
