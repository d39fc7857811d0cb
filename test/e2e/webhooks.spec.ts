import { Ticks } from '../../src/platform/feed/ticks.js';
import { Deliveries } from '../../src/platform/resource/webhooks/deliveries.js';
import { etagOf, must, readAll, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { pause } from '../support/process.js';
import { accept, answerWith, Receiver } from '../support/receiver.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
let hooks: string;
let receiver: Receiver;
beforeAll(async () => {
  app = await startApp({ WEBHOOK_ALLOWED_ADDRESSES: '127.0.0.0/8', WEBHOOK_TIMEOUT_MS: '1000' });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada, 'private');
  hooks = `${set.path}/webhooks`;
  receiver = await Receiver.start();
});
afterEach(async () => {
  await app.database.query('DELETE FROM webhooks');
  await receiver.close();
});
afterAll(() => app?.close());

const tag = (answer: Response) => ({ 'if-match': etagOf(answer) });

async function subscribe(more: object = {}, by = ada): Promise<{ path: string; id: string; made: Response }> {
  const made = must(201, await by.post(hooks, { url: receiver.url, ...more }));
  receiver.secret = made.body.secret;
  return { path: made.headers.get('location') as string, id: made.body.id, made };
}

const got = (count: number, seconds?: number) => until(async () => receiver.accepted.length >= count, seconds);
const bodyOf = async (path: string) => must(200, await ada.get(path)).body;
const inState = (path: string, state: string) => until(async () => (await bodyOf(path)).state === state);
/** Moves the times of a webhook back, as if so long had passed. */
const passes = (interval: string) =>
  app.database.query(
    `UPDATE webhooks SET since = since - $1::interval, retry_at = retry_at - $1::interval, rotated_at = rotated_at - $1::interval`,
    [interval],
  );

describe('a webhook', () => {
  it('gets what is created, updated and deleted since it was made, signed by Standard Webhooks', async () => {
    await makeRecord(ada, set, { n: 0 });
    await subscribe({ ordered: true });
    const made = must(201, await ada.post(set.records, { data: { n: 1, text: 'é \n \u2028', exact: 1 } }));
    const path = made.headers.get('location') as string;
    const changed = must(200, await ada.patch(path, { data: { n: 2 } }, tag(made)));
    must(204, await ada.delete(path, tag(changed)));
    await got(3);
    expect(receiver.accepted.map(({ type, data }) => [type, data])).toEqual([
      ['record.created', made.body],
      ['record.updated', changed.body],
      ['record.deleted', changed.body],
    ]);
    expect(new Set(receiver.accepted.map(({ id }) => id)).size).toBe(3);
    expect(receiver.accepted[0]?.headers['content-type']).toBe('application/json');
    expect(receiver.forged).toBe(0);
  });

  it('hears of bulk uploads, and not of other collections', async () => {
    await subscribe();
    await makeRecord(ada, await makeCollection(ada), { n: 7 });
    const lines = Array.from({ length: 700 }, (_, n) => JSON.stringify({ data: { n } })).join('\n');
    must(200, await ada.post(`${set.records}/bulk`, lines, { 'content-type': 'application/x-ndjson' }));
    await got(1);
    expect(receiver.accepted.map(({ type, data }) => [type, data.count])).toEqual([['record.bulk', 700]]);
  });

  it('gets the changes of many pages, in order where that is asked for', async () => {
    const insert = `INSERT INTO records (collection_id, data) SELECT id, jsonb_build_object('n', $2::int) FROM collections WHERE name = $1`;
    await subscribe({ ordered: true });
    for (let n = 0; n < 620; n++) await app.database.query(insert, [set.name, n]);
    await got(620, 60);
    expect(receiver.numbers).toEqual(Array.from({ length: 620 }, (_, n) => n));
  }, 90_000);

  it('has a secret that is shown when it is made, by a retry of that, and when it is changed', async () => {
    const key = { 'idempotency-key': 'one' };
    const made = must(201, await ada.post(hooks, { url: receiver.url }, key));
    expect(made.body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(made.headers.get('cache-control')).toBe('no-store');
    const again = must(201, await ada.post(hooks, { url: receiver.url }, key));
    expect(again.body).toEqual(made.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const path = made.headers.get('location') as string;
    const shown = [await ada.get(path), await ada.get(hooks), await ada.patch(path, { state: 'on' }, tag(made))];
    for (const answer of shown) expect(must(200, answer).text).not.toMatch(/secret|whsec|seed/);
    const [row] = await app.database.query('SELECT to_jsonb(w)::text AS text FROM webhooks w');
    const stored = await app.database.query('SELECT body FROM idempotency_keys WHERE body IS NOT NULL');
    expect(JSON.stringify([row, stored])).not.toContain(made.body.secret.slice(6));
  });

  it('is signed with the old secret too for a day after a new one', async () => {
    const { path } = await subscribe();
    const old = receiver.secret;
    must(428, await ada.post(`${path}/rotate`, {}));
    const { body } = must(200, await ada.post(`${path}/rotate`, {}, tag(await ada.get(path))));
    expect(body.secret).not.toBe(old);
    for (const [n, secret] of [old, body.secret].entries()) {
      receiver.secret = secret;
      await makeRecord(ada, set, { n });
      await got(n + 1);
    }
    expect(receiver.forged).toBe(0);
    await passes('25 hours');
    receiver.secret = old;
    await makeRecord(ada, set, { n: 2 });
    await until(async () => receiver.forged > 0);
    expect(receiver.numbers).toEqual([0, 1]);
  });

  it('keeps its place while nothing happens to its collection, for longer than changes are kept', async () => {
    const { id } = await subscribe();
    await makeRecord(ada, await makeCollection(ada));
    const tick = await app.nest.get(Ticks).now();
    await app.database.query(`UPDATE change_ticks SET at = at - interval '23 hours'`);
    await app.nest.get(Deliveries).look();
    const [row] = await app.database.query('SELECT position FROM webhooks WHERE id = $1', [id]);
    expect(row).toEqual({ position: tick });
    // Not what is undelivered.
    receiver.behaviour = answerWith(500);
    await makeRecord(ada, set, { n: 1 });
    await until(async () => receiver.received.length > 0);
    await app.database.query(`UPDATE change_ticks SET at = at - interval '23 hours'`);
    await app.nest.get(Deliveries).look();
    receiver.behaviour = accept;
    await passes('10 minutes');
    await got(1);
    expect(receiver.accepted.map(({ type }) => type)).toEqual(['record.created']);
  });

  it('is for the owner of the collection and admins, in pages', async () => {
    const bob = await app.user();
    for (let n = 0; n < 5; n++) await subscribe();
    const { path } = await subscribe({}, app.admin);
    must(404, await bob.get(hooks));
    must(404, await bob.get(path));
    must(404, await bob.post(hooks, { url: receiver.url }));
    expect(await readAll(ada, `${hooks}?limit=4`)).toHaveLength(6);
    const other = await makeCollection(ada);
    must(404, await ada.get(path.replace(set.path, other.path)));
    must(404, await ada.delete(path.replace(set.path, other.path), { 'if-match': '*' }));
    must(412, await ada.patch(path, { state: 'off' }, { 'if-match': '"9-9"' }));
    must(204, await ada.delete(path, tag(await ada.get(path))));
    must(404, await ada.get(path));
    for (let n = 0; n < 15; n++) await subscribe();
    must(409, await ada.post(hooks, { url: receiver.url }));
  });

  it('has an http or https URL without a user', async () => {
    for (const url of [
      'ftp://example.com',
      'http://ada:secret@example.com',
      'example.com',
      '/x',
      'http:example.com',
      'http://example.com/\u0000',
      'file:///etc/passwd',
      1,
    ])
      must(400, await ada.post(hooks, { url }));
  });

  it('gets nothing more when it, its collection or its owner is gone, disabled or switched off', async () => {
    const bob = await app.user();
    const his = await makeCollection(bob);
    hooks = `${his.path}/webhooks`;
    const { path } = await subscribe({}, bob);
    const insert = `INSERT INTO records (collection_id, data) SELECT id, '{"n": 1}' FROM collections WHERE name = $1`;
    const changeUnheard = async (count: number) => {
      await app.database.query(insert, [his.name]);
      await pause(2500);
      expect(receiver.received).toHaveLength(count);
    };
    await makeRecord(bob, his, { n: 0 });
    await got(1);
    must(200, await bob.patch(path, { state: 'off' }, tag(await bob.get(path))));
    await changeUnheard(1);
    must(200, await bob.patch(path, { state: 'on' }, tag(await bob.get(path))));
    await got(2);
    await app.database.query('UPDATE users SET disabled = true WHERE id = $1', [bob.userId]);
    await changeUnheard(2);
    await app.database.query('DELETE FROM collections WHERE name = $1', [his.name]);
    expect(await app.database.query('SELECT 1 FROM webhooks WHERE url = $1', [receiver.url])).toEqual([]);
  });
});

describe('a receiver that fails', () => {
  it('gets what it has missed in order, once each, when it is asked for in order', async () => {
    const { path } = await subscribe({ ordered: true });
    receiver.behaviour = answerWith(500);
    for (let n = 0; n < 5; n++) await makeRecord(ada, set, { n });
    await inState(path, 'failing');
    expect((await bodyOf(path)).lastError).toBe('HTTP 500');
    receiver.behaviour = accept;
    await got(5);
    await inState(path, 'on');
    expect(receiver.numbers).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(receiver.received.map(({ data }) => data.data.n))).toEqual(new Set([0, 1, 2, 3, 4]));
  });

  it('keeps no other event from being delivered where order is not asked for', async () => {
    const { path } = await subscribe();
    receiver.behaviour = (response, event) => answerWith(event.data.data.n === 3 ? 500 : 204)(response, event);
    for (let n = 0; n < 8; n++) await makeRecord(ada, set, { n });
    await got(7, 30);
    await until(async () => receiver.received.filter(({ data }) => data.data.n === 3).length > 1, 20);
    expect((await bodyOf(path)).lastError).toBe('HTTP 500');
    receiver.behaviour = accept;
    await got(8, 40);
    const threes = receiver.received.filter(({ data }) => data.data.n === 3);
    expect(new Set(threes.map(({ id }) => id)).size).toBe(1);
    const waiting = async () =>
      (await app.database.query<{ waiting: number }>('SELECT waiting FROM webhooks'))[0]?.waiting;
    await until(async () => (await waiting()) === 0);
  }, 90_000);

  it('is asked with growing pauses, and no more after 24 hours, until its owner switches it on', async () => {
    const { path, id } = await subscribe({ ordered: true });
    receiver.behaviour = answerWith(500);
    await makeRecord(ada, set, { n: 0 });
    const pauses: number[] = [];
    for (let attempts = 1; attempts <= 9; attempts++) {
      await until(async () => {
        const [row] = await app.database.query<{ failures: number; pause: number }>(
          `SELECT failures, extract(epoch FROM retry_at - now())::float8 AS pause FROM webhooks WHERE id = $1`,
          [id],
        );
        if (row?.failures !== attempts) return false;
        pauses.push(row.pause);
        return true;
      }, 30);
      await passes('10 minutes');
    }
    expect(pauses[0]).toBeLessThan(5);
    for (const [place, seconds] of pauses.entries()) {
      expect(seconds).toBeLessThanOrEqual(Math.min(600, 5 * 2 ** place));
      expect(seconds).toBeGreaterThan(Math.min(600, 5 * 2 ** place) / 2 - 5);
    }
    expect((await bodyOf(path)).state).toBe('failing');
    await passes('24 hours');
    await inState(path, 'off');
    const off = await bodyOf(path);
    expect([off.lastError, Date.now() - Date.parse(off.since) < 60_000]).toEqual(['HTTP 500', true]);
    const { length } = receiver.received;
    receiver.behaviour = accept;
    await makeRecord(ada, set, { n: 1 });
    await pause(2500);
    expect(receiver.received).toHaveLength(length);
    must(200, await ada.patch(path, { state: 'on' }, tag(await ada.get(path))));
    await got(2);
    expect(receiver.numbers).toEqual([0, 1]);
  }, 120_000);

  it('is switched off at once when it says that it is gone', async () => {
    const { path } = await subscribe();
    receiver.behaviour = answerWith(410);
    await makeRecord(ada, set, { n: 0 });
    await inState(path, 'off');
  });

  it('is told to begin anew when it was off for longer than changes are kept', async () => {
    const { path } = await subscribe();
    must(200, await ada.patch(path, { state: 'off' }, tag(await ada.get(path))));
    await makeRecord(ada, set, { n: 0 });
    await app.database.query(`UPDATE webhooks SET position = '1'`);
    await app.database.query('DELETE FROM change_ticks WHERE tick = 1');
    must(200, await ada.patch(path, { state: 'on' }, tag(await ada.get(path))));
    await got(1);
    expect(receiver.accepted.map(({ type }) => type)).toEqual(['record.reset']);
    await makeRecord(ada, set, { n: 1 });
    await got(2);
  });
});
