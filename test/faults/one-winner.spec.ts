import { atBoth, atOnce, kindsOf, onlyOne, warm } from '../support/at-once.js';
import type { Client, Response } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must } from '../support/collections.js';
import { expectUnharmed } from '../support/process.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { type Figures, row } from '../support/row.js';

let two: Replicas;
let ada: Client;
beforeAll(async () => {
  // On a slow machine a hundred requests that wait for one row take longer than the default time-outs.
  two = await startReplicas({ DATABASE_ACQUIRE_TIMEOUT_MS: '15000', DATABASE_LOCK_TIMEOUT_MS: '15000' });
  ada = await two.user();
  await warm(two);
}, 60_000);
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(() => two?.close());

/** Sends a hundred changes with one entity tag: one is made, and both replicas show it from then on. */
async function race(path: string, change: (client: Client, n: number) => Promise<Response>): Promise<Figures> {
  const answers = await atOnce(two, 100, two.admin, change);
  const won = onlyOne(answers, 200, 'precondition-failed');
  expect(won.body.version).toBe(2);
  for (const client of atBoth(two, two.admin)) expect((await client.get(path)).text).toBe(won.text);
  return kindsOf(answers);
}

row(21, 'a record', async () => {
  const { path, etag } = await makeRecord(ada, await makeCollection(ada));
  return race(path, (client, n) => client.patch(path, { data: { n } }, { 'if-match': etag }));
});

row(21, 'a user', async () => {
  const path = `/api/v1/users/${(await two.user()).userId}`;
  const etag = etagOf(must(200, await two.admin.get(path)));
  return race(path, (client, n) => client.patch(path, { name: `Name ${n}` }, { 'if-match': etag }));
});

row(21, 'a collection', async () => {
  const { path, etag } = await makeCollection(ada);
  const change = (n: number) => ({ visibility: 'public', description: `Text ${n}` });
  return race(path, (client, n) => client.put(path, change(n), { 'if-match': etag }));
});

row(22, '', async () => {
  const { anyone } = two.here;
  const emails = ['crowd@example.com', 'Crowd@example.com', 'CROWD@EXAMPLE.COM'];
  const passwordOf = (n: number) => `a-password-of-number-${n}`;
  const answers = await atOnce(two, 100, anyone, (client, n) =>
    client.post('/api/v1/auth/register', { email: emails[n % 3], password: passwordOf(n), name: `Number ${n}` }),
  );
  const won = onlyOne(answers, 201, 'conflict');
  const users = await two.database.query('SELECT id FROM users WHERE lower(email) = $1', [emails[0]]);
  expect(users).toEqual([{ id: won.body.id }]);
  const winner = answers.indexOf(won);
  for (const client of atBoth(two, anyone)) {
    for (const n of [winner, (winner + 1) % 100]) {
      const { status } = await client.post('/api/v1/auth/login', { email: emails[1], password: passwordOf(n) });
      expect([n, status]).toEqual([n, n === winner ? 200 : 401]);
    }
  }
  return kindsOf(answers);
});

const refresh = (client: Client, refreshToken: unknown) => client.post('/api/v1/auth/refresh', { refreshToken });
const sessionsOf = ({ userId }: Client) =>
  two.database.query('SELECT generation FROM sessions WHERE user_id = $1', [userId]);

/** The tokens that fifty simultaneous uses of a refresh token get: all the same next one. */
async function next(refreshToken: unknown): Promise<{ refreshToken: string; accessToken: string }> {
  const answers = await atOnce(two, 50, two.here.anyone, (client) => refresh(client, refreshToken));
  expect(kindsOf(answers)).toEqual({ 200: '× 50' });
  const [only, ...others] = new Set(answers.map(({ body }) => body.refreshToken));
  expect([only === refreshToken, others]).toEqual([false, []]);
  return answers[0]?.body;
}

/** Expects both replicas to refuse all of these tokens. */
async function expectRevoked(user: Client, pairs: { refreshToken: string; accessToken: string }[]): Promise<void> {
  expect(await sessionsOf(user)).toEqual([]);
  for (const client of atBoth(two, two.here.anyone)) {
    for (const { refreshToken, accessToken } of pairs) {
      expect((await refresh(client, refreshToken)).status).toBe(401);
      const headers = { authorization: `Bearer ${accessToken}` };
      expect((await client.get('/api/v1/users/me', headers)).status).toBe(401);
    }
  }
}

row(23, 'one live lineage', async () => {
  const user = await two.user();
  let token = user.tokens?.refreshToken;
  for (let generation = 2; generation <= 6; generation++) {
    token = (await next(token)).refreshToken;
    expect(await sessionsOf(user)).toEqual([{ generation }]);
  }
  return { generations: 5, 'uses of each token': 50 };
});

row(23, 'the previous token, 11 s later', async () => {
  const user = await two.user();
  const current = await next(user.tokens?.refreshToken);
  await two.database.query("UPDATE sessions SET rotated_at = rotated_at - interval '11 s' WHERE user_id = $1", [
    user.userId,
  ]);
  const late = await atOnce(two, 50, two.here.anyone, (client) => refresh(client, user.tokens?.refreshToken));
  expect(kindsOf(late)).toEqual({ 401: '× 50' });
  await expectRevoked(user, [current]);
  return kindsOf(late);
});

row(23, 'an older token, used together with the current one', async () => {
  const user = await two.user();
  const second = await next(user.tokens?.refreshToken);
  const third = await next(second.refreshToken);
  const isLate = (n: number) => n % 4 > 1;
  const answers = await atOnce(two, 50, two.here.anyone, (client, n) =>
    refresh(client, isLate(n) ? user.tokens?.refreshToken : third.refreshToken),
  );
  const given = answers.filter(({ status }) => status === 200).map(({ body }) => body);
  for (const [n, { status }] of answers.entries()) {
    expect([n, isLate(n) ? [401] : [200, 401]]).toEqual([n, expect.arrayContaining([status])]);
  }
  await expectRevoked(user, [second, third, ...given]);
  return kindsOf(answers);
});
