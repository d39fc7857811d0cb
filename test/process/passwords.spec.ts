import { Client, type Response } from '../support/client.js';
import { makeCollection, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { type Single, startSingle } from '../support/single.js';
import { figuresOf } from '../support/watch.js';

const ANY = { 'if-match': '*' };
const WRONG = { password: 'another-good-password', currentPassword: 'a-wrong-password' };
const times = <T>(count: number, ask: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, n) => ask(n)));
const from = (address: string) => ({ 'x-forwarded-for': address });
const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;

let one: Single;
const start = async (settings: Record<string, string>) => {
  one = await startSingle({ TRUST_PROXY: '127.0.0.1', ...settings });
};
afterEach(() => one?.expectUnharmed().finally(() => one.close()));

/** Users with the same password, each of whom signs in from a different address. */
const emailOf = (n: number) => `other${n}@example.com`;
const PASSWORD = 'a-password-of-many';
const register = (n: number, email: string) =>
  one.anyone.post('/api/v1/auth/register', { email, password: PASSWORD, name: 'O' }, from(`198.51.100.${n}`));
const signIn = (n: number, password = PASSWORD) =>
  one.anyone.post('/api/v1/auth/login', { email: emailOf(n), password }, from(`198.51.100.${n}`));
const inQueue = async () => (await figuresOf(one.anyone))('resources_in_use{resource="password_hashes"}');
/** The number of requests that hold no place while they wait for a hash; negative while other requests are at work. */
async function outside() {
  const figures = await figuresOf(one.anyone);
  return figures('resources_in_use{resource="password_hashes"}') - figures('admission_in_flight');
}

/** The statuses of a flood, and the answers to others who came while the queue was full. */
async function beside(flood: () => Promise<Response[]>, others: () => Promise<Response[]>) {
  const flooding = flood();
  await until(async () => (await inQueue()) >= 60);
  const answers = await others();
  const isOver = (await inQueue()) === 0;
  expect(isOver).toBe(false);
  return { answers, flooded: Map.groupBy(await flooding, ({ status }) => status) };
}

it('can be guessed no more often with a stolen token than by signing in, even when the general limit is 600', async () => {
  await start({ RATE_LIMIT_REQUESTS: '600', LOGIN_LIMIT: '10', LOGIN_ADDRESS_LIMIT: '60' });
  const user = await one.user();
  const address = from('203.0.113.1');
  const answers: Response[] = [];
  for (let i = 0; i < 40; i++) answers.push(await user.patch(pathOf(user), WRONG, { ...ANY, ...address }));
  expect(answers.map(({ status }) => status)).toEqual([...Array(10).fill(400), ...Array(30).fill(429)]);
  for (const answer of answers.slice(10)) {
    expectProblem(answer, 'quota-exceeded');
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  }
  const credentials = { email: 'user1@example.com', password: 'a-password-of-a-user' };
  must(429, await one.anyone.post('/api/v1/auth/login', credentials, address));
  must(200, await one.anyone.post('/api/v1/auth/login', credentials, from('203.0.113.2')));
}, 60_000);

it('does not keep others from signing in or anything else while one user tries 300 wrong ones at once', async () => {
  await start({ RATE_LIMIT_REQUESTS: '600', PASSWORD_HASH_CONCURRENCY: '1' });
  for (let n = 0; n < 10; n++) must(201, await register(n, emailOf(n)));
  const user = await one.user();
  const set = await makeCollection(one.admin);
  const { answers, flooded } = await beside(
    () => times(300, () => user.patch(pathOf(user), WRONG, ANY)),
    async () => {
      const asked = times(10, (n) => signIn(n));
      must(201, await one.admin.post(set.records, { data: {} }));
      await until(async () => (await outside()) > 20);
      return asked;
    },
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
  expect([...flooded.keys()].sort()).toEqual([400, 503]);
  for (const refusal of flooded.get(503) as Response[]) {
    expectProblem(refusal, 'temporary-reduced-capacity');
    expect(refusal.headers.get('retry-after')).toBe('1');
  }
  await until(async () => (await inQueue()) === 0);
}, 60_000);

it('does not keep others from registering or signing in during 300 sign-ins at once from one address', async () => {
  await start({ PASSWORD_HASH_CONCURRENCY: '1' });
  for (let n = 0; n < 5; n++) must(201, await register(n, emailOf(n)));
  const { answers, flooded } = await beside(
    () =>
      times(300, (n) =>
        one.anyone.post('/api/v1/auth/login', { email: emailOf(n), password: 'wrong' }, from('203.0.113.9')),
      ),
    async () => [
      ...(await times(10, (n) => register(10 + n, `new${n}@example.com`))),
      ...(await times(5, (n) => signIn(n))),
    ],
  );
  expect(answers.map(({ status }) => status)).toEqual([...Array(10).fill(201), ...Array(5).fill(200)]);
  expect([...flooded.keys()].sort()).toEqual([401, 503]);
}, 60_000);
