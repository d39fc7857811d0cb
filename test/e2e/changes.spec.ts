import pg from 'pg';
import { Ticks } from '../../src/platform/feed/ticks.js';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrdersModule } from '../sample-orders/sample-orders.module.js';
import { must, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { EventReader } from '../support/events.js';
import { expectProblem } from '../support/problem.js';
import { NDJSON } from '../support/uploads.js';

const ORDERS = '/api/v1/sample-orders';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
let changes: string;
const open: EventReader[] = [];
beforeAll(async () => {
  app = await startApp({}, { modules: [SampleOrdersModule], migrations: [SampleOrders1800000000000] });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
  changes = `${set.path}/changes`;
});
afterEach(() => {
  for (const reader of open.splice(0)) reader.close();
});
afterAll(() => app?.close());

async function listen(path = changes, by = app.client, headers: Record<string, string> = {}): Promise<EventReader> {
  const reader = await EventReader.open(by, path, headers);
  open.push(reader);
  await until(async () => reader.lastId !== '');
  return reader;
}

/** A connection of its own, for a transaction that stays open. */
async function session(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: app.database.url });
  await client.connect();
  return client;
}

const tag = (answer: { headers: Headers }) => ({ 'if-match': answer.headers.get('etag') as string });
const order = (number: string, more: object = {}) => ({
  number,
  total: '12.50',
  lines: [{ article: 'pen', count: 5 }],
  ...more,
});

describe('a stream of changes', () => {
  it('tells of what is created, updated and deleted, with the same bytes as a read', async () => {
    const reader = await listen();
    expect(reader.response.headers.get('content-type')).toBe('text/event-stream');
    expect(reader.response.headers.get('cache-control')).toBe('no-store');
    const made = must(201, await ada.post(set.records, { data: { n: 1, text: 'é \n \u2028' } }));
    const path = made.headers.get('location') as string;
    const changed = must(200, await ada.patch(path, { data: { n: 2 } }, tag(made)));
    must(204, await ada.delete(path, tag(changed)));
    const events = await reader.first(3);
    expect(events.map(({ event, data }) => [event, data])).toEqual([
      ['created', made.body],
      ['updated', changed.body],
      ['deleted', changed.body],
    ]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
  });

  it('goes on from any event that was received', async () => {
    const reader = await listen();
    for (let n = 0; n < 5; n++) await makeRecord(ada, set, { n });
    const events = await reader.first(5);
    const numbers = (of: EventReader) => of.events.map(({ data }) => data.data.n);
    for (const [at, { id }] of events.entries()) {
      const again = await listen(changes, app.client, { 'last-event-id': id });
      await again.first(4 - at);
      expect(numbers(again)).toEqual([0, 1, 2, 3, 4].slice(at + 1));
    }
    await makeRecord(ada, set, { n: 5 });
    for (const one of open) await until(async () => numbers(one).at(-1) === 5);
  });

  it('misses nothing of transactions that commit in another order than they began', async () => {
    const reader = await listen();
    const insert = `INSERT INTO records (collection_id, data) SELECT id, $2::jsonb FROM collections WHERE name = $1`;
    const early = await session();
    await early.query('BEGIN');
    await early.query(insert, [set.name, '{"n":"early"}']);
    await app.database.query(insert, [set.name, '{"n":"late"}']);
    const [late] = await reader.first(1);
    expect(late?.data.data.n).toBe('late');
    await early.query('COMMIT');
    await early.end();
    expect((await reader.first(2))[1]?.data.data.n).toBe('early');
    const resumed = await listen(changes, app.client, { 'last-event-id': late?.id as string });
    expect((await resumed.first(1))[0]?.data.data.n).toBe('early');
  });

  it('goes on from the latest change, also when another process makes a tick at the same time', async () => {
    const ticks = app.nest.get(Ticks);
    const before = BigInt(await ticks.now());
    const other = await session();
    await other.query('BEGIN');
    await other.query('INSERT INTO change_ticks (tick, snapshot) VALUES ($1, pg_current_snapshot())', [before + 1n]);
    await makeRecord(ada, set, { n: 0 });
    const asked = ticks.now();
    await until(async () => {
      const [{ count } = { count: 0 }] = await app.database.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM pg_locks WHERE NOT granted',
      );
      return count > 0;
    });
    await other.query('COMMIT');
    await other.end();
    expect(BigInt(await asked)).toBe(before + 2n);
  });

  it('tells nothing of what was rolled back', async () => {
    const reader = await listen();
    const client = await session();
    await client.query(
      `BEGIN; INSERT INTO records (collection_id, data) SELECT id, '{"n":0}' FROM collections; ROLLBACK`,
    );
    await client.end();
    await makeRecord(ada, set, { n: 1 });
    expect((await reader.first(1))[0]?.data.data.n).toBe(1);
  });

  it('has the changes of one record in the order of their versions, whoever makes them', async () => {
    const reader = await listen();
    const { path } = await makeRecord(ada, set, { n: 0 });
    const write = async () => {
      for (let done = 0; done < 5; ) {
        const answer = await ada.patch(path, { data: { n: done } }, tag(await ada.get(path)));
        if (answer.status === 200) done++;
      }
    };
    await Promise.all([write(), write(), write(), write()]);
    const events = await reader.first(21);
    expect(events.map(({ data }) => data.version)).toEqual(Array.from({ length: 21 }, (_, at) => at + 1));
  });

  it('tells of a large upload in one event for each batch, and of a removal of many by a reset', async () => {
    const reader = await listen();
    const lines = Array.from({ length: 6_000 }, (_, n) => `${JSON.stringify({ data: { n } })}\n`).join('');
    must(200, await ada.post(`${set.records}/bulk`, lines, NDJSON));
    await until(async () => reader.events.reduce((sum, { data }) => sum + (data.count ?? 1), 0) === 6_000);
    const [first] = reader.events;
    expect(first).toMatchObject({ event: 'bulk', data: { count: expect.any(Number) } });
    expect(first?.data.first < first?.data.last).toBe(true);
    await app.database.query('DELETE FROM records WHERE collection_id = (SELECT id FROM collections WHERE name = $1)', [
      set.name,
    ]);
    await until(async () => reader.events.at(-1)?.event === 'reset');
  });

  it('has the filters of the list', async () => {
    const reader = await listen(`${changes}?where=${encodeURIComponent('{"kind":"a"}')}`);
    const all = await listen();
    for (const [n, kind] of ['a', 'b', 'a'].entries()) await makeRecord(ada, set, { n, kind });
    await all.first(3);
    expect((await reader.first(2)).map(({ data }) => data.data.n)).toEqual([0, 2]);
    const resumed = await listen(`${changes}?where=${encodeURIComponent('{"kind":"b"}')}`, app.client, {
      'last-event-id': (all.events[0] as { id: string }).id,
    });
    expect((await resumed.first(1)).map(({ data }) => data.data.n)).toEqual([1]);
  });

  it('is for those who may read, and ends within 5 s when they no longer may', async () => {
    const hidden = await makeCollection(ada, 'private');
    const bob = await app.user();
    for (const who of [app.client, bob])
      expectProblem(await who.get(`${hidden.path}/changes`, { accept: 'text/event-stream' }), 'not-found');
    const reader = await listen(`${hidden.path}/changes`, ada);
    const anybody = await listen();
    must(204, await ada.post('/api/v1/auth/logout', { refreshToken: ada.tokens?.refreshToken }));
    const begun = performance.now();
    await reader.end(5_000);
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(anybody.isOver).toBe(false);
    ada = await app.client.signIn('ada@example.com', 'password-of-ada');
    const { etag } = Object.fromEntries((await ada.get(set.path)).headers);
    must(200, await ada.put(set.path, { visibility: 'private' }, { 'if-match': etag as string }));
    await anybody.end(5_000);
  });

  it('answers a position that is gone by a reset, and one that is none by 400', async () => {
    for (const id of ['1000000000', '999999990-999999999-7', '2-1-7', '1-99999999-1']) {
      const reader = await listen(changes, app.client, { 'last-event-id': id });
      expect((await reader.first(1))[0]).toMatchObject({ event: 'reset', data: {} });
    }
    for (const id of ['x', '0', '-1', '1-2', '1'.repeat(30)])
      expectProblem(
        await app.client.get(changes, { accept: 'text/event-stream', 'last-event-id': id }),
        'invalid-request',
      );
  });

  it('begins anew with a reset after a restore, when its ticks are those of another server', async () => {
    const reader = await listen();
    await makeRecord(ada, set, { n: 1 });
    const [before] = await reader.first(1);
    await app.database.query(
      `UPDATE change_ticks SET snapshot = '900000000:900000000:' WHERE tick = (SELECT max(tick) FROM change_ticks)`,
    );
    await until(async () => reader.events.at(-1)?.event === 'reset');
    await makeRecord(ada, set, { n: 2 });
    await until(async () => reader.events.at(-1)?.data.data?.n === 2);
    const late = await listen(changes, app.client, { 'last-event-id': before?.id as string });
    expect((await late.first(1))[0]?.event).toBe('reset');
  });

  it('keeps changes for FEED_KEPT_S, and answers those who come back later by a reset', async () => {
    const reader = await listen();
    for (let n = 0; n < 3; n++) {
      await makeRecord(ada, set, { n });
      await reader.first(n + 1);
    }
    const [first, , third] = reader.events;
    const tickOf = (event = third) => event?.id.split('-')[1] as string;
    await app.database.query(`UPDATE change_ticks SET at = at - interval '2 days' WHERE tick <= $1`, [
      tickOf(reader.events[1]),
    ]);
    await app.nest.get(Ticks).removeOld(new AbortController().signal);
    const kept = await app.database.query<{ n: number }>(
      `SELECT (row->'data'->>'n')::int AS n FROM changes WHERE scope = (SELECT id FROM collections WHERE name = $1)`,
      [set.name],
    );
    expect(kept.map(({ n }) => n)).toEqual([2]);
    const late = await listen(changes, app.client, { 'last-event-id': first?.id as string });
    expect((await late.first(1))[0]?.event).toBe('reset');
    const inTime = await listen(changes, app.client, { 'last-event-id': tickOf(reader.events[1]) });
    expect((await inTime.first(1))[0]?.data.data.n).toBe(2);
  });

  it('keeps no more when nobody listens', async () => {
    for (let n = 0; n < 3; n++) await makeRecord(ada, set, { n });
    const ticks = app.nest.get(Ticks);
    const { signal } = new AbortController();
    await ticks.removeOld(signal);
    await app.database.query(`UPDATE change_ticks SET at = at - interval '2 days'`);
    await makeRecord(ada, set, { n: 3 });
    await ticks.removeOld(signal);
    const kept = await app.database.query<{ n: number }>(
      `SELECT (row->'data'->>'n')::int AS n FROM changes WHERE scope = (SELECT id FROM collections WHERE name = $1)`,
      [set.name],
    );
    expect(kept.map(({ n }) => n)).toEqual([3]);
  });

  it('answers a HEAD with its head', async () => {
    const answer = await app.client.send('HEAD', changes, undefined, { accept: 'text/event-stream' });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
  });
});

it('answers with lines where Accept is too long to be read, and likes anything', async () => {
  const accept = `text/event-stream, ${'a/b, '.repeat(300)}text/event-stream`;
  const answer = must(200, await app.client.get(changes, { accept }));
  expect(answer.headers.get('content-type')).toMatch(/^application\/x-ndjson/);
});

describe('the lines of a feed', () => {
  const next = (answer: { headers: Headers }) =>
    /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1] ?? '';
  const linesOf = ({ text }: { text: string }) =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));

  it('are what has changed since, with a link to what comes next', async () => {
    const begin = must(200, await app.client.get(changes));
    expect(begin.text).toBe('');
    const made = must(201, await ada.post(set.records, { data: { n: 1 } }));
    const answer = must(200, await app.client.get(next(begin)));
    expect(linesOf(answer)).toEqual([{ id: expect.any(String), event: 'created', data: made.body }]);
    expect(must(200, await app.client.get(next(answer))).text).toBe('');
  });

  it('are found behind pages of others that the filters do not let through', async () => {
    const begin = must(200, await app.client.get(changes));
    const insert = `INSERT INTO records (collection_id, data)
      SELECT id, '{"n": 0}' FROM collections, generate_series(1, 400) WHERE name = $1`;
    for (let batch = 0; batch < 2; batch++) await app.database.query(insert, [set.name]);
    const made = must(201, await ada.post(set.records, { data: { n: 1 } }));
    const answer = must(200, await app.client.get(`${next(begin)}&where=${encodeURIComponent('{"n":1}')}`));
    expect(linesOf(answer).map(({ data }) => data)).toEqual([made.body]);
  });

  it('wait for a change, and end empty without one', async () => {
    const begin = must(200, await app.client.get(changes));
    const waiting = app.client.get(`${next(begin)}&wait=20s`);
    const made = must(201, await ada.post(set.records, { data: { n: 1 } }));
    const begun = performance.now();
    expect(linesOf(must(200, await waiting))[0]?.data).toEqual(made.body);
    expect(performance.now() - begun).toBeLessThan(10_000);
    const empty = must(200, await app.client.get(`${changes}?wait=1s`));
    expect(empty.text).toBe('');
  });
});

describe('the changes of a resource that declares them', () => {
  const watch = `${ORDERS}/changes`;

  it("are those of the caller's rows, and of all for an admin", async () => {
    const bob = await app.user();
    const [ofAda, ofBob, ofAdmin] = [
      await listen(watch, ada),
      await listen(watch, bob),
      await listen(watch, app.admin),
    ];
    const made = must(201, await ada.post(ORDERS, order('A-1')));
    must(201, await bob.post(ORDERS, order('B-1')));
    expect((await ofAda.first(1))[0]?.data).toEqual(made.body);
    expect((await ofBob.first(1))[0]?.data.number).toBe('B-1');
    expect((await ofAdmin.first(2)).map(({ data }) => data.number)).toEqual(['A-1', 'B-1']);
    expect([ofAda, ofBob].map(({ events }) => events.length)).toEqual([1, 1]);
    expectProblem(await app.client.get(watch), 'invalid-token');
  });

  it('end for an admin who is one no more', async () => {
    const eve = await app.user();
    const path = `/api/v1/users/${eve.userId}`;
    const promoted = must(200, await app.admin.patch(path, { role: 'admin' }, tag(await app.admin.get(path))));
    const admin = await app.client.signIn(promoted.body.email, `password-of-${promoted.body.name}`);
    const reader = await listen(watch, admin);
    must(201, await ada.post(ORDERS, order('E-1')));
    await reader.first(1);
    must(200, await app.admin.patch(path, { role: 'user' }, tag(promoted)));
    await reader.end(5_000);
  });

  it('never show a hidden column, and tell the former owner that a row is gone', async () => {
    const bob = await app.user();
    const [ofAda, ofBob] = [await listen(watch, ada), await listen(watch, bob)];
    const made = must(201, await ada.post(ORDERS, order('H-1')));
    await app.database.query(`UPDATE sample_orders SET internal_note = 'secret', owner_id = $2 WHERE id = $1`, [
      made.body.id,
      bob.userId,
    ]);
    expect((await ofAda.first(2)).map(({ event }) => event)).toEqual(['created', 'deleted']);
    expect((await ofBob.first(1))[0]).toMatchObject({ event: 'updated', data: { id: made.body.id } });
    expect(JSON.stringify([ofAda.events, ofBob.events])).not.toContain('secret');
  });

  it('have the filters of the list', async () => {
    const reader = await listen(`${watch}?status=paid`, ada);
    const made = must(201, await ada.post(ORDERS, order('F-1')));
    must(200, await ada.patch(made.headers.get('location') as string, { status: 'paid' }, tag(made)));
    expect((await reader.first(1))[0]).toMatchObject({ event: 'updated', data: { status: 'paid' } });
    expectProblem(await ada.get(`${watch}?status=none`), 'invalid-request');
  });
});
