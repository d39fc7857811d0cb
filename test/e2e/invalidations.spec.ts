import { Logger } from '@nestjs/common';
import { until } from '../support/answers.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { Member } from '../support/member.js';
import { pause } from '../support/process.js';
import { TestRedis } from '../support/redis.js';

const PRESENT = 'floodgate1:present';
const CHANNEL = 'floodgate1:invalidations';
/** Some heartbeats. */
const A_WHILE_MS = 1500;

let redis: TestRedis;
let ways: Forwarder[];
let members: Member[];
let [here, there, third]: Member[] = [];
beforeAll(() => Logger.overrideLogger(false));
beforeEach(async () => {
  redis = await TestRedis.start();
  ways = await Promise.all([1, 2, 3].map(() => forward(redis.url)));
  members = await Promise.all(ways.map(({ url }) => Member.start(url)));
  [here, there, third] = members;
  await untilHeard(members, members.length);
});
afterEach(async () => {
  await Promise.all(members.map((member) => member.crash()));
  await Promise.all(ways.map((way) => way.close()));
  await redis?.kill();
});

/** Until they trust one another, and know how many they are. */
const untilHeard = (some: Member[], count: number) =>
  until(async () => some.every(({ areHeard, invalidations }) => areHeard && invalidations.replicas === count), 10);
const all = () => members.map(({ dropped, timesDroppedAll }) => [dropped, timesDroppedAll]);
const cutMessages = () => redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');

it('tells the others, and loses and drops nothing else, however much is told', async () => {
  const before = members.map(({ timesDroppedAll }) => timesDroppedAll);
  const names = Array.from({ length: 3000 }, (_, i) => `name-${i}`);
  for (const name of names) here?.invalidations.tell([name]);
  for (const name of names) there?.invalidations.tell([`${name}-too`]);
  await until(async () => third?.dropped.length === 2 * names.length, 10);
  await pause(A_WHILE_MS);
  expect(here?.dropped).toEqual(names.map((name) => `${name}-too`));
  expect(there?.dropped).toEqual(names);
  expect(members.map(({ timesDroppedAll }) => timesDroppedAll)).toEqual(before);
});

it('removes what is told from the second tier, and what a late reader has put there meanwhile', async () => {
  await redis.command('SET', 'floodgate1:thing', 'old');
  here?.invalidations.tell(['thing']);
  await until(async () => (await redis.command('EXISTS', 'floodgate1:thing')) === '0', 10);
  expect(there?.invalidations.putting(['other'], performance.now())).toEqual(['other']);
  await redis.command('SET', 'floodgate1:other', 'old');
  // It is told without being removed, as if it had been removed before the late reader came.
  await redis.command('PUBLISH', CHANNEL, JSON.stringify({ n: 1, from: 'an older build', names: ['other'] }));
  await until(async () => (await redis.command('EXISTS', 'floodgate1:other')) === '0', 10);
  await until(async () => here?.dropped.includes('other') === true, 10);
});

it('drops everything where a message was lost, and is trusted again', async () => {
  const before = members.map(({ timesDroppedAll }) => timesDroppedAll);
  await cutMessages();
  here?.invalidations.tell(['thing']);
  await until(async () => members.every(({ timesDroppedAll }, i) => timesDroppedAll > (before[i] ?? 0)), 10);
  await untilHeard(members, 3);
});

it('trusts nobody while one is cut off, and believes what it tells when it is back', async () => {
  await ways[0]?.cut();
  here?.invalidations.tell(['thing']);
  await until(async () => members.every(({ areHeard }) => !areHeard), 10);
  expect(there?.dropped).toEqual([]);
  const before = all();
  await ways[0]?.mend();
  await untilHeard(members, 3);
  expect([there?.dropped, third?.dropped]).toEqual([['thing'], ['thing']]);
  // Nothing else is dropped: nothing else was changed.
  expect(members.map(({ timesDroppedAll }) => timesDroppedAll)).toEqual(before.map(([, times]) => times));
});

it('is not believed for a while when it was cut off for so long that it no longer knows what it has changed', async () => {
  await ways[0]?.cut();
  here?.invalidations.tell(Array.from({ length: 100_001 }, (_, i) => `name-${i}`));
  await until(async () => members.every(({ areHeard }) => !areHeard), 10);
  await ways[0]?.mend();
  here?.invalidations.tell(['thing']);
  await until(async () => third?.dropped.includes('thing') === true, 10);
  expect(third?.dropped).toEqual(['thing']);
  for (let asked = 0; asked < 20; asked++, await pause(100)) expect(third?.areHeard).toBe(false);
});

it('goes on at once in a Redis that was emptied, and drops nothing', async () => {
  here?.invalidations.tell(['thing']);
  await until(async () => third?.dropped.includes('thing') === true && there?.dropped.includes('thing') === true, 10);
  await pause(A_WHILE_MS);
  const before = all();
  await redis.command('FLUSHALL');
  await pause(A_WHILE_MS);
  await untilHeard(members, 3);
  expect(all()).toEqual(before);
});

it('waits in an emptied Redis for one that is cut off and may have changed something', async () => {
  await ways[0]?.cut();
  here?.invalidations.tell(['thing']);
  await until(async () => !there?.areHeard, 10);
  await redis.kill();
  await redis.start();
  await until(async () => (await redis.command('ZCARD', PRESENT)) === '3', 10);
  for (let asked = 0; asked < 20; asked++, await pause(100))
    expect([there?.areHeard, third?.areHeard]).toEqual([false, false]);
  await ways[0]?.mend();
  await untilHeard(members, 3);
  expect([there?.dropped, third?.dropped]).toEqual([['thing'], ['thing']]);
});

it('does without one that has left at once, and counts those that are there', async () => {
  await here?.leave();
  await untilHeard([there, third] as Member[], 2);
  members.push(await Member.start(redis.url));
  await untilHeard(members.slice(1), 3);
});

it('trusts nobody while one is silent, and counts it no more', async () => {
  await here?.crash();
  await until(async () => !there?.areHeard && !third?.areHeard, 10);
  await until(async () => there?.invalidations.replicas === 2, 20);
  expect(there?.areHeard).toBe(false);
});

it('tells and counts in a full Redis', async () => {
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  await redis.command('CONFIG', 'SET', 'maxmemory', '1mb');
  await expect(redis.command('SET', 'any', 'thing')).rejects.toThrow('OOM');
  members.push(await Member.start(redis.url));
  await untilHeard(members, 4);
  here?.invalidations.tell(['thing']);
  await until(async () => third?.dropped.includes('thing') === true, 10);
  await pause(A_WHILE_MS);
  await untilHeard(members, 4);
});

describe('beside a build that signs in seconds and numbers its own messages', () => {
  const ID = 'an older build';
  const sign = () => redis.command('ZADD', PRESENT, String(Math.floor(Date.now() / 1000)), ID);

  it('trusts nobody, hears what it tells, and drops everything when it is gone', async () => {
    await sign();
    await until(async () => members.every(({ areHeard }) => !areHeard), 10);
    await redis.command('PUBLISH', CHANNEL, JSON.stringify({ from: ID, n: 0, at: 1 }));
    await redis.command('PUBLISH', CHANNEL, JSON.stringify({ from: ID, n: 1, at: 2, names: ['thing'] }));
    await until(async () => members.every(({ dropped }) => dropped.includes('thing')), 10);
    const before = members.map(({ timesDroppedAll }) => timesDroppedAll);
    await redis.command('ZREM', PRESENT, ID);
    await untilHeard(members, 3);
    for (const [i, { timesDroppedAll }] of members.entries())
      expect(timesDroppedAll).toBeGreaterThan(before[i] as number);
  });

  it('is itself told that there is somebody whom it does not know', async () => {
    await sign();
    const present = await redis.command('ZRANGE', PRESENT, '0', '-1');
    expect(present.split(',')).toHaveLength(4);
    // As it forgets those who are silent.
    expect(await redis.command('ZREMRANGEBYSCORE', PRESENT, '-inf', String(Date.now() / 1000 - 61))).toBe('0');
  });
});
