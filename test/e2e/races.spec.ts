import { startApp, type TestApp } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { beforeCommit } from '../support/locks.js';
import { expectProblem } from '../support/problem.js';

const ANY = { 'if-match': '*' };

let app: TestApp;
beforeAll(async () => {
  // Sessions are cached for longer than the tests take, so that nobody is refused before the race.
  app = await startApp({ SESSION_CHECK_MS: '5000', PASSWORD_HASH_QUEUE: '200' });
});
afterAll(() => app?.close());

const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;
const statusOf = async (asked: Promise<Response>) => (await asked).status;
const login = (email: string, password: string) => app.client.post('/api/v1/auth/login', { email, password });
const refresh = ({ tokens }: Client) => app.client.post('/api/v1/auth/refresh', { refreshToken: tokens?.refreshToken });
/** The user as it is stored, not as it is cached. */
const stored = ({ userId }: Client) =>
  app.database.query('SELECT name, role, disabled, password_hash, version FROM users WHERE id = $1', [userId]);

let users = 0;
/** A user with this many sessions. */
async function sessions(count: number): Promise<{ email: string; password: string; of: Client[] }> {
  const name = `racer${++users}`;
  const [email, password] = [`${name}@example.com`, `password-of-${name}`];
  const of = [await app.user(name)];
  while (of.length < count) of.push(await app.client.signIn(email, password));
  return { email, password, of };
}

const change = (client: Client, password: string, currentPassword: string) =>
  client.patch(pathOf(client), { password, currentPassword }, ANY);

describe('of two changes of one password at once, both with the right current one,', () => {
  /** Expects exactly one change to be made, and only its session to stay. */
  async function expectOneWinner(email: string, of: Client[], passwords: string[], answers: Response[]) {
    const winner = answers.findIndex(({ status }) => status === 200);
    const loser = 1 - winner;
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const { status, body } = answers[loser] as Response;
    expect([400, 401]).toContain(status);
    if (status === 400) expect(body.errors).toEqual([{ pointer: '/currentPassword', detail: 'is wrong' }]);
    expect(await statusOf(login(email, passwords[winner] as string))).toBe(200);
    expect(await statusOf(login(email, passwords[loser] as string))).toBe(401);
    expect(await statusOf(refresh(of[winner] as Client))).toBe(200);
    if (of[0] !== of[1]) expect(await statusOf(refresh(of[loser] as Client))).toBe(401);
    return status;
  }

  it('in two sessions, one is made, and the other changes nothing and ends no session', async () => {
    for (let round = 0; round < 5; round++) {
      const { email, password, of } = await sessions(2);
      const passwords = [`first-new-one-${round}`, `second-new-one-${round}`];
      const answers = await Promise.all(of.map((client, n) => change(client, passwords[n] as string, password)));
      await expectOneWinner(email, of, passwords, answers);
    }
  });

  it('both verified before either is made, the second fails because its session has ended', async () => {
    for (let round = 0; round < 3; round++) {
      const { email, password, of } = await sessions(2);
      const passwords = ['the-first-new-one', 'the-second-new-one'];
      const lock: [string, unknown[]] = ['SELECT FROM users WHERE id = $1 FOR UPDATE', [of[0]?.userId]];
      const answers = await beforeCommit(app.database, [lock], 2, () =>
        Promise.all(of.map((client, n) => change(client, passwords[n] as string, password))),
      );
      expect(await expectOneWinner(email, of, passwords, answers)).toBe(401);
    }
  });

  it('in one session, the second is told that its current password is wrong', async () => {
    const { email, password, of } = await sessions(1);
    const one = of[0] as Client;
    const passwords = ['the-first-new-one', 'the-second-new-one'];
    const lock: [string, unknown[]] = ['SELECT FROM users WHERE id = $1 FOR UPDATE', [one.userId]];
    const answers = await beforeCommit(app.database, [lock], 2, () =>
      Promise.all(passwords.map((next) => change(one, next, password))),
    );
    expect(await expectOneWinner(email, [one, one], passwords, answers)).toBe(400);
  });
});

it('needs the current password however the own id is written', async () => {
  const { email, password, of } = await sessions(2);
  const [here, there] = of as [Client, Client];
  const path = pathOf(here).toUpperCase().replace('/API/V1/USERS', '/api/v1/users');
  const next = 'another-good-password';
  expectProblem(await here.patch(path, { password: next }, ANY), 'invalid-request');
  must(200, await here.patch(path, { password: next, currentPassword: password }, ANY));
  expect([await statusOf(refresh(here)), await statusOf(refresh(there))]).toEqual([200, 401]);
  expect(await statusOf(login(email, next))).toBe(200);
  must(204, await here.delete(path, ANY));
});

/**
 * What an admin may do to another user and their collection, and the status that a user gets for it: a private
 * collection does not exist for others, so that no tag can match.
 */
const POWERS: [string, number, (by: Client, to: Client, set: string) => Promise<Response>][] = [
  ['rename a user', 403, (by, to) => by.patch(pathOf(to), { name: 'Other' }, ANY)],
  ['make an admin', 403, (by, to) => by.patch(pathOf(to), { role: 'admin' }, ANY)],
  ['disable a user', 403, (by, to) => by.patch(pathOf(to), { disabled: true }, ANY)],
  ['set a password', 403, (by, to) => by.patch(pathOf(to), { password: 'set-by-an-admin' }, ANY)],
  ['delete a user', 403, (by, to) => by.delete(pathOf(to), ANY)],
  ['change a collection', 412, (by, _, set) => by.put(set, { visibility: 'public' }, ANY)],
  ['delete a collection', 404, (by, _, set) => by.delete(set, ANY)],
];

/** How an admin loses their powers, and the status if it is not the one that a user gets. */
const LOSSES: [string, number | undefined, string][] = [
  ['is no longer an admin', undefined, `UPDATE users SET role = 'user' WHERE id = $1`],
  ['was disabled', 401, 'UPDATE users SET disabled = true WHERE id = $1'],
  ['was signed out by a change', 401, 'DELETE FROM sessions WHERE user_id = $1'],
  ['was deleted', 401, 'DELETE FROM users WHERE id = $1'],
];

async function newAdmin(): Promise<Client> {
  const { of, email, password } = await sessions(1);
  must(200, await app.admin.patch(pathOf(of[0] as Client), { role: 'admin' }, ANY));
  return app.client.signIn(email, password);
}

describe.each(LOSSES)('an admin who %s since the request was accepted', (_, status, loss) => {
  it.each(POWERS)('cannot %s any more', async (_, toUsers, use) => {
    const by = await newAdmin();
    const to = (await sessions(1)).of[0] as Client;
    const { path, etag } = await makeCollection(to, 'private', `race-${users}`);
    const before = await stored(to);
    must(200, await by.get(path));
    const lost: [string, unknown[]][] = [
      ['SELECT FROM users WHERE id = $1 FOR UPDATE', [by.userId]],
      [loss, [by.userId]],
    ];
    const answer = await beforeCommit(app.database, lost, 1, () => use(by, to, path));
    expect(answer.status).toBe(status ?? toUsers);
    expect(await stored(to)).toEqual(before);
    expect((await to.get(path)).headers.get('etag')).toBe(etag);
  });
});

it("lets only one of two admins succeed who set each other's passwords, or disable each other, at once", async () => {
  for (const [a, b] of [
    [{ password: 'set-by-the-first' }, { password: 'set-by-the-second' }],
    [{ disabled: true }, { password: 'set-by-the-second' }],
    [{ role: 'user' }, { role: 'user' }],
  ]) {
    const [first, second] = [await newAdmin(), await newAdmin()];
    const lock: [string, unknown[]] = ['SELECT FROM users WHERE id = $1 FOR UPDATE', [first.userId]];
    const answers = await beforeCommit(app.database, [lock], 2, () =>
      Promise.all([first.patch(pathOf(second), a, ANY), second.patch(pathOf(first), b, ANY)]),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect([a, b, statuses]).toEqual([a, b, [200, 'role' in (a as object) ? 403 : 401]]);
  }
});

it('changes no record of a deleted collection, even when this process still has it cached', async () => {
  const { admin, database } = app;
  const set = await makeCollection(admin, 'private', 'soon-gone');
  const [changed, replaced, removed] = [
    await makeRecord(admin, set),
    await makeRecord(admin, set),
    await makeRecord(admin, set),
  ];
  await database.query('DELETE FROM collections WHERE name = $1', [set.name]);
  const answers = await Promise.all([
    admin.patch(changed.path, { data: { a: 2 } }, { 'if-match': changed.etag }),
    admin.put(replaced.path, { data: { a: 2 } }, { 'if-match': replaced.etag }),
    admin.delete(removed.path, { 'if-match': removed.etag }),
    admin.post(set.records, { data: { a: 2 } }),
    admin.post(`${set.records}/bulk`, [{ data: { a: 2 } }]),
  ]);
  for (const answer of answers) expectProblem(answer, 'not-found');
});
