import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';

const callers = ['anonymous', 'stranger', 'owner', 'admin'] as const;
type Who = (typeof callers)[number];

let app: TestApp;
let clients: Record<Who, Client>;
beforeAll(async () => {
  app = await startApp();
  clients = {
    anonymous: app.client,
    stranger: await app.user('stranger'),
    owner: await app.user('owner'),
    admin: app.admin,
  };
});
afterAll(() => app.close());

interface Target extends MadeCollection {
  record: string;
}
type Call = (client: Client, target: Target) => Promise<{ status: number }>;

const ANY = { 'if-match': '*' };
const NDJSON = { 'content-type': 'application/x-ndjson' };
const reads: Record<string, Call> = {
  'GET collection': (client, { path }) => client.get(path),
  'GET records': (client, { records }) => client.get(records),
  'GET record': (client, { record }) => client.get(record),
};
const writes: Record<string, Call> = {
  'POST record': (client, { records }) => client.post(records, { data: {} }),
  'POST bulk': (client, { records }) => client.post(`${records}/bulk`, '{"data":{}}\n', NDJSON),
  'PUT record': (client, { record }) => client.put(record, { data: {} }, ANY),
  'PATCH record': (client, { record }) => client.patch(record, { data: {} }, ANY),
  'DELETE record': (client, { record }) => client.delete(record, ANY),
  'DELETE collection': (client, { path }) => client.delete(path, ANY),
};
const done: Record<string, number> = { 'POST record': 201, 'DELETE record': 204, 'DELETE collection': 204 };

/** What each caller is told; `ok` is what the route answers when all is well. */
const rights: Record<'reads' | 'writes', Record<'public' | 'private', Record<Who, number | 'ok'>>> = {
  reads: {
    public: { anonymous: 'ok', stranger: 'ok', owner: 'ok', admin: 'ok' },
    private: { anonymous: 404, stranger: 404, owner: 'ok', admin: 'ok' },
  },
  writes: {
    public: { anonymous: 401, stranger: 403, owner: 'ok', admin: 'ok' },
    private: { anonymous: 401, stranger: 404, owner: 'ok', admin: 'ok' },
  },
};

const table = (['public', 'private'] as const).flatMap((visibility) =>
  (['reads', 'writes'] as const).flatMap((kind) =>
    Object.entries(kind === 'reads' ? reads : writes).flatMap(([route, call]) =>
      callers.map((who) => {
        const right = rights[kind][visibility][who];
        return { who, route, visibility, call, status: right === 'ok' ? (done[route] ?? 200) : right };
      }),
    ),
  ),
);

it.each(table)('answers $who $status to $route of a $visibility collection', async (row) => {
  const made = await makeCollection(clients.owner, row.visibility);
  const target = { ...made, record: (await makeRecord(clients.owner, made, { kept: true })).path };
  expect((await row.call(clients[row.who], target)).status).toBe(row.status);
  if (row.status < 400) return;
  const left = await clients.owner.get(target.records);
  expect(left.body.items.map(({ data }: { data: unknown }) => data)).toEqual([{ kept: true }]);
});

it.each(['public', 'private'] as const)("lets an admin change a %s collection, which stays its owner's", async (v) => {
  const { path, etag } = await makeCollection(clients.owner, v);
  expect((await app.client.put(path, { visibility: 'public' }, { 'if-match': etag })).status).toBe(401);
  const changed = await app.admin.put(path, { visibility: v, description: 'x' }, { 'if-match': etag });
  expect([changed.status, changed.body.ownerId]).toEqual([200, clients.owner.userId]);
});

it('says nothing else of the records of a private collection than of one that is not there', async () => {
  const made = await makeCollection(clients.owner, 'private');
  const target = { ...made, record: (await makeRecord(clients.owner, made)).path };
  const ghost = { ...target, path: '/api/v1/data/ghost', records: '/api/v1/data/ghost/records' };
  ghost.record = target.record.replace(made.name, 'ghost');
  const { stranger } = clients;
  const ask = (records: string, record: string) =>
    Promise.all([
      stranger.get(records),
      stranger.get(record),
      stranger.post(records, { data: {} }),
      stranger.patch(record, { data: {} }, ANY),
      stranger.delete(record),
      stranger.put(record, { bad: 1 }),
      stranger.get(`${records}?limit=0`),
    ]);
  const words = (answers: Awaited<ReturnType<typeof ask>>) =>
    answers.map(({ status, body }) => [status, { ...body, requestId: '', instance: '' }]);
  expect(words(await ask(target.records, target.record))).toEqual(words(await ask(ghost.records, ghost.record)));
});
