import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { freshName, makeCollection, makeRecord, must } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Operation, operations } from '../support/operations.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { sendRaw } from '../support/raw.js';
import { ACCESS, BEHIND_THE_BODY, CALLERS, type Caller, type Target, targetsOf } from './access.js';

/** Stands in everything that is private. */
const MARK = 'only-for-its-owner';
const PASSWORD = 'a-password-of-a-user';

let database: TestDatabase;
let anyone: Client;
let clients: Record<Caller, Client>;
beforeAll(async () => {
  database = await createDatabase();
  const admin = { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
  anyone = new Client(await startMain({ ...productionSettings(database.url), ...admin }).url());
  clients = {
    nobody: anyone,
    'another user': await newUser(),
    'the owner': await newUser(),
    'an admin': await anyone.signIn(ADMIN.email, ADMIN.password),
  };
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await database?.drop();
});

let users = 0;
const newEmail = () => `user${++users}@example.com`;
async function newUser(): Promise<Client> {
  const email = newEmail();
  must(201, await anyone.post('/api/v1/auth/register', { email, password: PASSWORD, name: MARK }));
  return anyone.signIn(email, PASSWORD);
}

/** What an operation is tried on. */
interface Thing {
  owner: Client;
  values: Record<string, string>;
  /** Whether there is something of it that only some may see. */
  isSecret: boolean;
  /** Where the owner sees all of it. */
  seen: string[];
}

async function make(target: Target): Promise<Thing> {
  const owner = clients['the owner'];
  if (target === 'a user') {
    const user = await newUser();
    return { owner: user, values: { id: user.userId }, isSecret: true, seen: [`/api/v1/users/${user.userId}`] };
  }
  if (target === 'nothing') return { owner, values: {}, isSecret: false, seen: [] };
  if (target === 'a new collection') return { owner, values: { collection: freshName() }, isSecret: false, seen: [] };
  const visibility = target === 'a private collection' ? 'private' : 'public';
  const made = await makeCollection(owner, visibility);
  const { id } = await makeRecord(owner, made, { mark: MARK });
  const values = { collection: made.name, id };
  return { owner, values, isSecret: visibility === 'private', seen: [made.path, made.records] };
}

/** Bodies that have to be those of somebody who is there. */
const BODIES: Record<string, () => Promise<unknown>> = {
  register: async () => ({ email: newEmail(), password: PASSWORD, name: 'New' }),
  login: async () => ADMIN,
  refresh: async () => ({ refreshToken: (await anyone.signIn(ADMIN.email, ADMIN.password)).tokens?.refreshToken }),
  logout: async () => ({ refreshToken: (await anyone.signIn(ADMIN.email, ADMIN.password)).tokens?.refreshToken }),
  updateUser: async () => ({ name: 'Renamed' }),
};

const pathOf = ({ path }: Operation, { values }: Thing) =>
  path.replace(/\{(\w+)\}/g, (_, name) => values[name] as string);

async function ask(client: Client, operation: Operation, thing: Thing, target: Target) {
  const { id, method, body } = operation;
  const where = pathOf(operation, thing);
  const isNew = target === 'a new collection';
  const headers: Record<string, string> =
    ['PUT', 'PATCH', 'DELETE'].includes(method) && !isNew ? { 'if-match': '*' } : {};
  return client.send(method, where, (await BODIES[id]?.()) ?? body, headers);
}

it('knows every operation of openapi.json, what it is about, and none that is gone', () => {
  expect(Object.keys(ACCESS).sort()).toEqual(operations.map(({ id }) => id).sort());
  for (const { id, path, method } of operations)
    expect([id, Object.keys(ACCESS[id] ?? {}).sort()]).toEqual([id, targetsOf(path, method).sort()]);
});

const table = operations.flatMap((operation) =>
  Object.entries(ACCESS[operation.id] ?? {}).flatMap(([target, statuses]) =>
    CALLERS.map((caller, i) => {
      return { operation, target: target as Target, caller, status: statuses[i] as number, id: operation.id };
    }),
  ),
);

describe('ASVS 8.2.1, 8.2.2:', () => {
  it.each(table)('$caller is answered $status to $id of $target', async ({ operation, target, caller, status }) => {
    const thing = await make(target);
    const isOwner = caller === 'the owner';
    const client = isOwner ? thing.owner : clients[caller];
    const look = async () => Promise.all(thing.seen.map(async (path) => must(200, await thing.owner.get(path)).text));
    const before = await look();
    const answer = await ask(client, operation, thing, target);
    expect(answer.status).toBe(status);
    if (status < 400) return;
    // Who is refused has changed nothing, and learnt nothing.
    expect(await look()).toEqual(before);
    if (thing.isSecret) expect(answer.text).not.toContain(MARK);
  });
});

/** The status for a request whose body does not come. */
async function statusBeforeBody({ tokens }: Client, operation: Operation, thing: Thing): Promise<number> {
  const authorization = tokens ? `Authorization: Bearer ${tokens.accessToken}\r\n` : '';
  const head = `${operation.method} ${pathOf(operation, thing)} HTTP/1.1\r\nHost: x\r\n${authorization}If-Match: *\r\n`;
  const { status } = await sendRaw(
    anyone.url,
    `${head}Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`,
  );
  return status;
}

describe('before the body,', () => {
  const refused = table.filter(
    ({ operation, status, id }) =>
      operation.body !== undefined && status >= 400 && !BEHIND_THE_BODY[id]?.includes(status),
  );
  it.each(refused)('$caller is answered $status to $id of $target', async ({ operation, target, caller, status }) => {
    expect(await statusBeforeBody(clients[caller], operation, await make(target))).toBe(status);
  });
});

it('shows each caller the collections that are public or their own, and admins all', async () => {
  const hidden = await makeCollection(clients['the owner'], 'private');
  const shown = await makeCollection(clients['the owner'], 'public');
  for (const caller of CALLERS) {
    const { items } = must(200, await clients[caller].get('/api/v1/data?limit=100')).body;
    const found = items
      .map(({ name }: { name: string }) => name)
      .filter((name: string) => [hidden.name, shown.name].includes(name));
    const mayRead = caller === 'the owner' || caller === 'an admin';
    expect([caller, found]).toEqual([caller, mayRead ? [hidden.name, shown.name].sort() : [shown.name]]);
  }
});

it("lets an admin change a collection, which stays its owner's", async () => {
  const { path, etag } = await makeCollection(clients['the owner'], 'private');
  const change = { visibility: 'public', description: 'x' };
  const changed = must(200, await clients['an admin'].put(path, change, { 'if-match': etag }));
  expect(changed.body.ownerId).toBe(clients['the owner'].userId);
});
