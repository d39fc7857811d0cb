import { must } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { row } from '../support/row.js';
import { forger, signedBy } from '../support/tokens.js';

const OFF_S = 300;
const SKEW_S = 30;
const LOGIN_LIMIT = 10;
const SHIFTS = { right: 0, ahead: OFF_S, behind: -OFF_S };
type Which = keyof typeof SHIFTS;
const ALL = Object.keys(SHIFTS) as Which[];

/** Shifts the clock of a process, as on a machine whose clock is wrong; timers are not affected. */
const clockOff = (seconds: number) =>
  `--import=data:text/javascript,${encodeURIComponent(`
    const real = Date.now.bind(Date);
    globalThis.Date = new Proxy(Date, {
      construct: (made, given, target) => Reflect.construct(made, given.length > 0 ? given : [Date.now()], target),
    });
    Date.now = () => real() + ${seconds * 1000};
  `)}`;

let database: TestDatabase;
let redis: TestRedis;
let settings: Record<string, string>;
const programs = {} as Record<Which, Program>;
const clients = {} as Record<Which, Client>;
beforeAll(async () => {
  database = await createDatabase();
  redis = await TestRedis.start();
  settings = {
    ...productionSettings(database.url),
    REDIS_URL: redis.url,
    // The tests are about whose clock counts, not about the speed of the machine.
    REDIS_TIMEOUT_MS: '1000',
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    LOGIN_LIMIT: String(LOGIN_LIMIT),
    AUTH_LIMIT_WINDOW_S: '3600',
    // Shorter than the shift of the clocks.
    REFRESH_TOKEN_TTL_S: '200',
    SESSION_CHECK_MS: '0',
  };
  for (const which of ALL) {
    programs[which] = startMain({ ...settings, NODE_OPTIONS: clockOff(SHIFTS[which]) });
    clients[which] = new Client(await programs[which].url());
  }
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await redis?.kill();
  await database?.drop();
});

const meAt = async (which: Which, token = '') =>
  (await clients[which].get('/api/v1/users/me', { authorization: `Bearer ${token}` })).status;
const refreshAt = (which: Which, refreshToken = '') => clients[which].post('/api/v1/auth/refresh', { refreshToken });

row(40, 'exp and nbf', async () => {
  // The clocks really differ: otherwise the test would prove nothing.
  for (const which of ALL) {
    const [, said] = await programs[which].says(/"@timestamp":"([^"]+)"/);
    expect(Math.abs(Date.parse(said as string) - Date.now() - SHIFTS[which] * 1000)).toBeLessThan(60_000);
  }
  const signedIn = await Promise.all(ALL.map((which) => clients[which].signIn(ADMIN.email, ADMIN.password)));
  // A token lives for 15 minutes, so a clock that is five minutes off does not end it.
  for (const { tokens } of signedIn)
    for (const which of ALL) expect([which, await meAt(which, tokens?.accessToken)]).toEqual([which, 200]);

  const forge = forger(signedIn[0]?.tokens?.accessToken as string, signedBy(settings.JWT_PRIVATE_KEY as string));
  let checked = 0;
  for (const which of ALL) {
    const now = Math.floor(Date.now() / 1000) + SHIFTS[which];
    for (const [status, claims] of [
      [200, { exp: now - SKEW_S + 10 }],
      [401, { exp: now - SKEW_S - 2 }],
      [200, { nbf: now + SKEW_S - 2 }],
      [401, { nbf: now + SKEW_S + 10 }],
    ] as const) {
      expect([which, claims, await meAt(which, forge(claims))]).toEqual([which, claims, status]);
      checked++;
    }
  }
  // A token that has been verified before expires in time as well.
  const dying = ALL.map((which) => forge({ exp: Math.floor(Date.now() / 1000) + SHIFTS[which] - SKEW_S + 5 }));
  const found = () => Promise.all(ALL.map((which, i) => meAt(which, dying[i])));
  expect(await found()).toEqual([200, 200, 200]);
  await pause(6000);
  expect(await found()).toEqual([401, 401, 401]);
  return { 'clocks off by': ALL.map((which) => `${SHIFTS[which]} s`).join(', '), skew: `${SKEW_S} s`, checked };
});

row(40, 'exact limits', async () => {
  const tries = Array.from({ length: 3 * LOGIN_LIMIT }, (_, i) =>
    clients[ALL[i % 3] as Which].post('/api/v1/auth/login', { email: 'eve@example.com', password: 'wrong' }),
  );
  const answers = await Promise.all(tries);
  const admitted = answers.filter(({ status }) => status === 401).length;
  expect(admitted).toBe(LOGIN_LIMIT);
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBe(2 * LOGIN_LIMIT);
  const waits = refused.map(({ headers }) => Number(headers.get('retry-after')));
  for (const wait of waits) expect(Math.abs(wait - 355)).toBeLessThanOrEqual(5);
  return { admitted, of: answers.length, 'Retry-After': `${Math.min(...waits)} to ${Math.max(...waits)} s` };
});

row(40, 'sessions', async () => {
  for (const begun of ALL) {
    const { tokens } = await clients[begun].signIn(ADMIN.email, ADMIN.password);
    const next = must(200, await refreshAt(begun, tokens?.refreshToken)).body;
    // Two tabs that refresh at once stay signed in, at whichever replica.
    for (const which of ALL) {
      const { status, body } = await refreshAt(which, tokens?.refreshToken);
      expect([begun, which, status, body.refreshToken]).toEqual([begun, which, 200, next.refreshToken]);
    }
    // 10 s later every replica treats the spent token as stolen.
    await database.query(`UPDATE sessions SET rotated_at = rotated_at - interval '11 s'`);
    for (const which of ALL.toReversed())
      expect([begun, which, (await refreshAt(which, tokens?.refreshToken)).status]).toEqual([begun, which, 401]);
    expect(must(401, await refreshAt('right', next.refreshToken)).status).toBe(401);
  }
  return { 'sessions begun, refreshed and ended at each': ALL.length };
});
