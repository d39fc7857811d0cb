import { readFileSync } from 'node:fs';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { forward } from '../support/forwarder.js';
import { endPrograms, expectUnharmed, type Program, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { untilRedis, WELL, WITHOUT } from '../support/redis-faults.js';
import { inMs, row } from '../support/row.js';

let database: TestDatabase;
let redis: TestRedis;
beforeEach(async () => {
  [database, redis] = await Promise.all([createDatabase(), TestRedis.start()]);
});
afterEach(async () => {
  await endPrograms();
  await redis?.kill();
  await database?.drop();
});

const start = (redisUrl = redis.url): Program =>
  startMain({
    ...productionSettings(database.url),
    REDIS_URL: redisUrl,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
  });

/** Starts the app without a working Redis, and expects it to work and to join Redis later. @returns the times of both */
async function startsWithout(redisUrl: string, end: () => unknown) {
  const begun = Date.now();
  const program = start(redisUrl);
  const anyone = new Client(await program.url());
  const startMs = Date.now() - begun;
  await untilRedis(WITHOUT, { anyone });
  const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
  const set = await makeCollection(admin, 'public', 'without-redis');
  const { path } = await makeRecord(admin, set);
  must(200, await anyone.get(path));
  await end();
  const joinedMs = await untilRedis(WELL, { anyone });
  // It receives messages and therefore trusts the shared cache: its reads are put there.
  const kept = async () => {
    const { path } = await makeRecord(admin, set);
    must(200, await anyone.get(path));
    return (await redis.command('EXISTS', `floodgate1:${path}`)) === '1';
  };
  await until(kept, 5);
  expectUnharmed(program);
  return { 'started in': inMs(startMs), 'joined Redis in': inMs(joinedMs) };
}

row(2, 'nobody listens', async () => {
  await redis.kill();
  return startsWithout(redis.url, () => redis.start());
});

row(2, 'it accepts connections and closes them at once', async () => {
  const toRedis = await forward(redis.url);
  await redis.kill();
  return startsWithout(toRedis.url, () => redis.start()).finally(() => toRedis.close());
});

row(2, 'it accepts connections and stays silent', async () => {
  redis.signal('SIGSTOP');
  return startsWithout(redis.url, () => redis.signal('SIGCONT'));
});

row(2, 'it has another user or another password', async () => {
  const url = new URL(redis.url);
  Object.assign(url, { username: 'app', password: 'right' });
  const user = (password: string) =>
    redis.command('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '&*', '+@all');
  await user('wrong');
  return startsWithout(url.href, () => user('right'));
});

row(2, 'its user may do nothing', async () => {
  const url = new URL(redis.url);
  Object.assign(url, { username: 'app', password: 'right' });
  const user = (...may: string[]) => redis.command('ACL', 'SETUSER', 'app', 'reset', 'on', '>right', ...may);
  await user();
  return startsWithout(url.href, () => user('~*', '&*', '+@all'));
});

row(2, 'its user may do no more than is documented', async () => {
  const [, rules] = /`ACL SETUSER floodgate on >password ([^`]+)`/.exec(readFileSync('docs/security.md', 'utf8')) ?? [];
  const url = new URL(redis.url);
  Object.assign(url, { username: 'app', password: 'right' });
  const user = (...may: string[]) => redis.command('ACL', 'SETUSER', 'app', 'reset', 'on', '>right', ...may);
  await user();
  const figures = await startsWithout(url.href, async () => {
    await user(...(rules as string).split(' '));
    await redis.command('ACL', 'LOG', 'RESET');
  });
  expect(await redis.command('ACL', 'LOG')).toBe('');
  return figures;
});
