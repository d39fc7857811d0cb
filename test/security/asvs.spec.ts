import { must } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import type { Clients } from '../support/contract.js';
import { bodyFor, callerFor, clientsAt, makeFor, type Row, table } from '../support/contracts.js';
import { operations, pathOf } from '../support/operations.js';
import { ANY, type Deployment, deploy, PASSWORD, signUp } from './deployment.js';

let { anyone, admin, ada, start, database, close } = {} as Deployment;
let clients: Clients;
beforeAll(async () => {
  // The tests are about whether a session ends, not about the seconds until every process knows.
  ({ anyone, admin, ada, start, database, close } = await deploy({ SESSION_CHECK_MS: '0' }));
  clients = await clientsAt(anyone);
}, 60_000);
afterAll(() => close?.());

let users = 0;
const register = (password: string, email = `new${++users}@example.com`) =>
  anyone.post('/api/v1/auth/register', { email, password, name: 'New' }).then((answer) => ({ ...answer, email }));
const login = (email: string, password: string) => anyone.post('/api/v1/auth/login', { email, password });
const refresh = ({ tokens }: Client) => anyone.post('/api/v1/auth/refresh', { refreshToken: tokens?.refreshToken });
const change = (caller: Client, user: Client, body: unknown) => caller.patch(`/api/v1/users/${user.userId}`, body, ANY);

/** A read that needs a token. */
const isOwnRead = ({ operation, caller, status }: Row) =>
  operation.method === 'GET' && caller === 'nobody' && status >= 400;

/** Expects neither of the client's tokens to work anywhere. */
async function expectEnded(client: Client): Promise<void> {
  const reads = operations.filter(({ method, path }) => method === 'GET' && !path.includes('{'));
  for (const { path } of reads) must(401, await client.get(path));
  must(401, await refresh(client));
}
/** A new user with two sessions. */
async function twice(name: string): Promise<[Client, Client]> {
  return [await signUp(anyone, name), await anyone.signIn(`${name}@example.com`, PASSWORD)];
}

describe('ASVS 5.0.0, passwords:', () => {
  it('6.2.1, 6.2.4, 6.2.9: have 8 characters or more, may have 64 and more, and are not common ones', async () => {
    for (const password of ['x7!kQ2p', 'password', 'Password1', 'qwertyuiop', '1234567890', 'iloveyou1'])
      expect([password, (await register(password)).status]).toEqual([password, 400]);
    for (const length of [8, 15, 64, 128]) must(201, await register('aZ9 '.repeat(32).slice(0, length)));
    must(400, await change(ada, ada, { password: 'password1', currentPassword: PASSWORD }));
  });

  it('6.2.5, 6.2.8: may have any characters, and are verified exactly as given', async () => {
    for (const password of [
      'aaaaaaaaaaab',
      '            ',
      '日本語のパスワード',
      '🙂🙃🙂🙃🙂🙃🙂🙃',
      `<'";--\\"\t`,
      `${'x'.repeat(127)}Y`,
    ]) {
      const { status, email } = await register(password);
      expect([password, status]).toEqual([password, 201]);
      must(200, await login(email, password));
      for (const other of [
        password.slice(0, -1),
        `${password} `.slice(0, 129),
        password.toUpperCase(),
        password.trim(),
      ])
        if (other !== password && other !== '')
          expect([password, other, (await login(email, other)).status === 200]).toEqual([password, other, false]);
    }
  });

  it('6.2.2, 6.2.3: can be changed by their users with the current one', async () => {
    const user = await signUp(anyone, 'changer');
    must(400, await change(user, user, { password: 'another-good-one' }));
    must(400, await change(user, user, { password: 'another-good-one', currentPassword: 'a-wrong-one' }));
    must(200, await change(user, user, { password: 'another-good-one', currentPassword: PASSWORD }));
    must(401, await login('changer@example.com', PASSWORD));
    must(200, await login('changer@example.com', 'another-good-one'));
  });

  it('6.3.2, 13.2.3: exist for no account by default', async () => {
    for (const email of ['admin@example.com', 'root@example.com', 'admin', 'postgres'])
      for (const password of ['admin', 'password', 'floodgate', 'root', 'changeme', 'postgres'])
        expect([email, password, (await login(email, password)).status]).toEqual([email, password, 401]);
  });

  it('6.3.8: do not reveal when they are wrong whether the user exists or may sign in', async () => {
    const banned = await signUp(anyone, 'banned');
    must(200, await change(admin, banned, { disabled: true }));
    const words = ({ status, body, headers }: Response) => [
      status,
      { ...body, requestId: '' },
      headers.get('content-length'),
    ];
    const known = words(await login('ada@example.com', 'wrong-password'));
    expect(known[0]).toBe(401);
    for (const [email, password] of [
      ['nobody@example.com', 'wrong-password'],
      ['banned@example.com', 'wrong-password'],
      ['banned@example.com', PASSWORD],
      ['ada@example.com', 'x'],
      ["' OR true --", "' OR true --"],
    ] as const)
      expect([email, words(await login(email, password))]).toEqual([email, known]);
  });
});

describe('ASVS 5.0.0, sessions:', () => {
  it('7.2.4: each sign-in gets new tokens', async () => {
    const [first, second] = await twice('two-sessions');
    expect(first.tokens?.accessToken).not.toBe(second.tokens?.accessToken);
    expect(first.tokens?.refreshToken).not.toBe(second.tokens?.refreshToken);
    // The secret of refresh tokens is different for each session, and cannot be guessed.
    const [seeds] = await database.query(
      'SELECT count(*) - count(DISTINCT seed) AS twice, min(length(seed)) AS shortest FROM sessions',
    );
    expect(seeds).toEqual({ twice: '0', shortest: 32 });
  });

  it('7.4.1: signing out ends one session and no other', async () => {
    const [left, stays] = await twice('leaver');
    must(204, await anyone.post('/api/v1/auth/logout', { refreshToken: left.tokens?.refreshToken }));
    await expectEnded(left);
    must(200, await stays.get('/api/v1/users/me'));
  });

  it.each([
    ['disabled', async (user: Client) => must(200, await change(admin, user, { disabled: true }))],
    ['deleted by an admin', async (user: Client) => must(204, await admin.delete(`/api/v1/users/${user.userId}`, ANY))],
    [
      'deleted by themselves',
      async (user: Client) => must(204, await user.delete(`/api/v1/users/${user.userId}`, ANY)),
    ],
  ])('7.4.2: all sessions end of a user who is %s', async (how, end) => {
    const sessions = await twice(`gone-${how.replaceAll(' ', '-')}`);
    await end(sessions[0]);
    for (const session of sessions) await expectEnded(session);
  });

  it('7.4.3: a new password ends all other sessions', async () => {
    const [here, elsewhere] = await twice('renewer');
    must(200, await change(here, here, { password: 'a-new-password', currentPassword: PASSWORD }));
    await expectEnded(elsewhere);
    must(200, await here.get('/api/v1/users/me'));
    must(200, await refresh(here));
  });

  it('7.4.5: an admin ends all sessions of a user by setting a password', async () => {
    const sessions = await twice('helped');
    must(200, await change(admin, sessions[0], { password: 'set-by-an-admin' }));
    for (const session of sessions) await expectEnded(session);
  });

  it('8.3.2: the role in a token does not decide permissions', async () => {
    await signUp(anyone, 'deputy');
    const user = await anyone.signIn('deputy@example.com', PASSWORD);
    must(200, await change(admin, user, { role: 'admin' }));
    const deputy = await anyone.signIn('deputy@example.com', PASSWORD);
    must(200, await deputy.get('/api/v1/users'));
    must(200, await change(admin, user, { role: 'user' }));
    must(403, await deputy.get('/api/v1/users'));
    must(403, await change(deputy, deputy, { role: 'admin' }));
  });
});

describe('ASVS 5.0.0, the rest:', () => {
  it('1.2.4: input that looks like SQL is treated as text', async () => {
    const injections = [
      "' OR '1'='1",
      "'; DROP TABLE users; --",
      "x' UNION SELECT password_hash FROM users --",
      '$1',
      "\\'",
      '{"a":"b\'"}',
    ];
    const asked: [client: Client, id: string, path: string][] = [];
    for (const operation of operations.filter(({ method }) => method === 'GET')) {
      const thing = await makeFor(operation, clients);
      const client = callerFor(operation, clients, thing);
      for (const q of injections.flatMap((text) => [text, JSON.stringify({ [text]: text })]).map(encodeURIComponent)) {
        const path = pathOf(operation, thing.values);
        for (const name of [...operation.query, 'unknown']) asked.push([client, operation.id, `${path}?${name}=${q}`]);
        for (const name of Object.keys(thing.values).filter((one) => operation.path.includes(`{${one}}`)))
          asked.push([client, operation.id, pathOf(operation, { ...thing.values, [name]: q })]);
      }
    }
    for (const [client, id, path] of asked) {
      const { status, text } = await client.get(path);
      expect([id, path, [200, 400, 404].includes(status), /argon2/.test(text)]).toEqual([id, path, true, false]);
    }
    expect(asked.length).toBeGreaterThan(100);
    must(200, await admin.get('/api/v1/users'));
  });

  it('3.5.1, 3.5.2: requests that another site can send without a preflight are refused', async () => {
    for (const operation of operations.filter(({ method }) => method === 'POST')) {
      const thing = await makeFor(operation, clients);
      const client = callerFor(operation, clients, thing);
      const body = JSON.stringify(await bodyFor(operation, clients));
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
        const headers = { 'content-type': type, origin: 'https://evil.example.com' };
        const { status } = await client.post(pathOf(operation, thing.values), body, headers);
        expect([operation.id, type, status]).toEqual([operation.id, type, 415]);
      }
    }
    // No cookie exists that a browser would add.
    const { headers } = await login(ADMIN.email, ADMIN.password);
    expect(headers.get('set-cookie')).toBeNull();
    must(401, await anyone.get('/api/v1/users/me', { cookie: `access_token=${ada.tokens?.accessToken}` }));
  });

  it('14.2.1, 14.3.2: a token in a URL is not accepted, and no shared cache may store private data', async () => {
    const token = ada.tokens?.accessToken as string;
    for (const name of ['access_token', 'token', 'authorization', 'bearer'])
      must(401, await anyone.get(`/api/v1/users/me?${name}=${token}`));
    const signedIn = await login(ADMIN.email, ADMIN.password);
    const refreshed = await anyone.post('/api/v1/auth/refresh', { refreshToken: signedIn.body.refreshToken });
    for (const { headers } of [signedIn, refreshed]) expect(headers.get('cache-control')).toBe('no-store');
    for (const { operation, target } of table.filter(isOwnRead)) {
      const thing = await makeFor(operation, clients, target);
      const path = pathOf(operation, thing.values);
      const { headers } = must(200, await callerFor(operation, clients, thing).get(path));
      expect([path, headers.get('cache-control')]).toEqual([
        path,
        expect.stringMatching(/^(?:private, no-cache|no-store)/),
      ]);
    }
  });

  it('7.2.2, 11.5.1: tokens never repeat, here or in another process', async () => {
    const other = await start();
    const signIns = [anyone, other, anyone, other].map((client) => client.signIn(ADMIN.email, ADMIN.password));
    const tokens = (await Promise.all(signIns)).flatMap(({ tokens }) =>
      Object.values(tokens ?? {}).filter((text) => String(text).includes('.')),
    );
    expect(new Set(tokens).size).toBe(8);
    for (const token of tokens)
      expect(Buffer.from(String(token).split('.')[2] ?? '', 'base64url').length).toBeGreaterThanOrEqual(32);
  });
});
