import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { row } from '../support/row.js';

const QUOTA = 400;
const WINDOW_S = 10;
const LOGIN_LIMIT = 10;

let database: TestDatabase;
let redis: TestRedis;
let replicas: Program[];
let urls: string[];
beforeAll(async () => {
  database = await createDatabase();
  redis = await TestRedis.start();
  const settings = {
    ...productionSettings(database.url),
    REDIS_URL: redis.url,
    // The tests are about sharing limits, not about the speed of the machine.
    REDIS_TIMEOUT_MS: '1000',
    TRUST_PROXY: '127.0.0.1',
    RATE_LIMIT_REQUESTS: String(QUOTA),
    RATE_LIMIT_WINDOW_S: String(WINDOW_S),
    LOGIN_LIMIT: String(LOGIN_LIMIT),
    AUTH_LIMIT_WINDOW_S: '3600',
  };
  const first = startMain(settings);
  await first.url();
  replicas = [first, startMain(settings)];
  urls = await Promise.all(replicas.map((replica) => replica.url()));
  // By now the replicas know of each other.
  await pause(500);
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await redis?.kill();
  await database?.drop();
});

interface Burst {
  admitted: number;
  refused: number;
  others: number[];
  /** All requests per second. */
  rate: number;
  /** The time that it took. */
  ms: number;
}

/** One caller sends requests to all replicas as fast as possible for `leastMs`, on a slow machine until there are `least` answers. */
async function burst(address: string, leastMs: number, least = 2 * QUOTA): Promise<Burst> {
  const began = Date.now();
  const found: Burst = { admitted: 0, refused: 0, others: [], rate: 0, ms: 0 };
  const ask = async (url: string) => {
    while (Date.now() < began + leastMs || found.admitted + found.refused + found.others.length < least) {
      const answer = await fetch(`${url}/api/v1/data?limit=1`, { headers: { 'x-forwarded-for': address } });
      await answer.arrayBuffer();
      if (answer.status === 200) found.admitted++;
      else if (answer.status === 429) found.refused++;
      else found.others.push(answer.status);
    }
  };
  await Promise.all([...urls, ...urls, ...urls, ...urls].map(ask));
  found.ms = Date.now() - began;
  found.rate = ((found.admitted + found.refused) / found.ms) * 1000;
  return found;
}

/** The number of requests that may drain in this time. */
const drained = (ms: number) => (QUOTA / WINDOW_S) * (ms / 1000);

row(47, '', async () => {
  const { admitted, refused, others, rate, ms } = await burst('198.51.100.1', 3000);
  expect(others).toEqual([]);
  expect(admitted).toBeGreaterThanOrEqual(QUOTA);
  // A twentieth of the quota each, and the requests of the time until both have settled: 50 ms, for slow machines.
  const overshoot = 2 * (QUOTA / 20) + rate * 0.05;
  expect(admitted).toBeLessThanOrEqual(QUOTA + drained(ms) + overshoot);
  // Without sharing, both would have admitted this: the test must be able to tell the difference.
  expect(QUOTA + drained(ms) + overshoot).toBeLessThan(2 * (QUOTA + drained(ms)));

  const again = await burst('198.51.100.1', 3000);
  expect(admitted + again.admitted).toBeLessThanOrEqual(QUOTA + drained(ms + again.ms) + overshoot);

  // Retry-After is correct at each replica.
  const waits: number[] = [];
  for (const url of urls) {
    const ask = () => fetch(`${url}/api/v1/data?limit=1`, { headers: { 'x-forwarded-for': '198.51.100.1' } });
    let refusal = await ask();
    while (refusal.status === 200) refusal = await ask();
    waits.push(Number(refusal.headers.get('retry-after')));
    await pause((waits.at(-1) as number) * 1000);
    expect((await ask()).status).toBe(200);
  }
  return {
    [`admitted of a burst of ${Math.round(ms / 1000)} s`]: admitted,
    'allowed without overshoot': Math.round(QUOTA + drained(ms)),
    'with the stated overshoot': Math.round(QUOTA + drained(ms) + overshoot),
    refused,
    'Retry-After that was true': waits.map((seconds) => `${seconds} s`).join(' and '),
  };
});

row(47, 'while Redis is down, and when it is back', async () => {
  await redis.kill();
  await pause(500);
  const alone = await burst('198.51.100.2', 2000);
  expect(alone.others).toEqual([]);
  expect(alone.refused).toBeGreaterThan(0);
  expect(alone.admitted).toBeGreaterThanOrEqual(QUOTA);
  expect(alone.admitted).toBeLessThanOrEqual(QUOTA + drained(alone.ms) + 2);

  for (const url of urls) {
    const tries = Array.from({ length: LOGIN_LIMIT }, () =>
      new Client(url).post('/api/v1/auth/login', { email: 'bob@example.com', password: 'wrong' }),
    );
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401).length).toBe(LOGIN_LIMIT / 2);
    expect(statuses.filter((status) => status === 429).length).toBe(LOGIN_LIMIT / 2);
  }

  await redis.start();
  await Promise.all(replicas.map((replica) => replica.says(/Redis is back/)));
  await pause(1000);
  // One replica alone may use the whole quota again.
  const answer = await fetch(`${urls[0]}/api/v1/data?limit=1`, { headers: { 'x-forwarded-for': '198.51.100.3' } });
  expect(answer.headers.get('ratelimit')).toBe(`"default";r=${QUOTA - 1};t=1`);
  return {
    [`admitted of a burst of ${Math.round(alone.ms / 1000)} s`]: alone.admitted,
    'allowed to both together': Math.round(QUOTA + drained(alone.ms)),
    'sign-ins admitted by each': `${LOGIN_LIMIT / 2} of ${LOGIN_LIMIT}`,
  };
});

row(47, 'while Redis hangs, without anybody waiting for it', async () => {
  redis.signal('SIGSTOP');
  try {
    const { admitted, others, rate } = await burst('198.51.100.4', 2000, 0);
    expect(others).toEqual([]);
    expect(admitted).toBeGreaterThan(0);
    expect(rate).toBeGreaterThan(100);
    return { 'requests per second': Math.round(rate) };
  } finally {
    redis.signal('SIGCONT');
  }
});
