import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { changeUser, ENDINGS } from '../support/endings.js';
import { whileLocked } from '../support/locks.js';
import { pause } from '../support/process.js';
import { lines, NDJSON, type OpenUpload, openUpload, tally, untilFree } from '../support/uploads.js';

/** The promised bound, and a margin for a slow machine. */
const BOUND_MS = 5000 + 3000;
const STORED = 5000;
/** A running request is checked twice within this time. */
const LOOKS_MS = 3500;

/** Everything stays cached for as long as possible, so that only a message to its process ends an upload. */
const KEPT = { SESSION_CHECK_MS: '5000', CACHE_TTL_MS: '600000' };

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ ...KEPT, DATABASE_LOCK_TIMEOUT_MS: '20000', DATABASE_STATEMENT_TIMEOUT_MS: '20000' });
});
afterAll(() => app?.close());

let keys = 0;
const stored = async (set: MadeCollection) => (await tally(app.database, set))[0];

/** Keeps sending, a byte at a time and never a whole line, until the upload is answered. */
async function drip({ request, answer, write }: OpenUpload) {
  await write('{"data":{"n":"');
  const dripping = setInterval(() => request.writable && request.write('x'), 50);
  try {
    return await answer;
  } finally {
    clearInterval(dripping);
    request.destroy();
  }
}

/** An upload whose first batch is stored, and that hardly sends any more. */
async function begin(client: Client, set: MadeCollection, query = '', headers = {}) {
  const upload = openUpload(client, `${set.records}/bulk${query}`, headers);
  await upload.write(lines(1, STORED));
  if (!query) await until(async () => (await stored(set)) === STORED);
  return upload;
}

/** Ends an upload under way. @returns its answer, which must come within the bound */
async function endedBy(end: () => Promise<unknown>, upload: OpenUpload, ending = drip(upload)) {
  await end();
  const ended = Date.now();
  const answer = await ending;
  expect(Date.now() - ended).toBeLessThan(BOUND_MS);
  return answer;
}

/** An admin who is not the only one, and can therefore lose all rights to other users' collections. */
async function anotherAdmin(): Promise<Client> {
  const user = await app.user();
  await changeUser(app.admin, user, { role: 'admin' });
  return user;
}

describe('a bulk upload under way', () => {
  it.each(ENDINGS)('ends with 401 when its caller %s, and says how many records are stored', async (_what, end) => {
    const set = await makeCollection(await app.user());
    const caller = await anotherAdmin();
    const upload = await begin(caller, set);
    const { status, body } = await endedBy(() => end(app.admin, caller, app.database), upload);
    expect([status, body.type, body.inserted]).toEqual([401, 'urn:problem-type:floodgate:invalid-token', STORED]);
    expect(await stored(set)).toBe(STORED);
  });

  it.each<[string, 'public' | 'private', number]>([
    ['403 into a public', 'public', 403],
    ['404 into a private', 'private', 404],
  ])(
    'ends with %s collection of another user when its caller is no longer an admin',
    async (_what, visibility, expected) => {
      const set = await makeCollection(await app.user(), visibility);
      const caller = await anotherAdmin();
      const upload = await begin(caller, set);
      const { status, body } = await endedBy(() => changeUser(app.admin, caller, { role: 'user' }), upload);
      expect([status, body.inserted, await stored(set)]).toEqual([expected, STORED, STORED]);
    },
  );

  it('ends with 401 when its caller is deleted together with the collection', async () => {
    const caller = await app.user();
    const upload = await begin(caller, await makeCollection(caller));
    const remove = async () => must(204, await caller.delete(`/api/v1/users/${caller.userId}`, { 'if-match': '*' }));
    const { status, body } = await endedBy(remove, upload, upload.answer);
    expect([status, body.inserted]).toEqual([401, STORED]);
  });

  it('ends with 404 when the collection is deleted, even if a new one takes its name', async () => {
    const caller = await app.user();
    const set = await makeCollection(caller);
    const upload = await begin(caller, set);
    const { status, body } = await endedBy(async () => {
      must(204, await caller.delete(set.path, { 'if-match': set.etag }));
      await makeCollection(caller, 'public', set.name);
    }, upload);
    expect([status, body.inserted, await stored(set)]).toEqual([404, STORED, 0]);
  });

  it('stores nothing more afterwards, however fast it continues', async () => {
    const caller = await app.user();
    const set = await makeCollection(caller);
    const { request, answer, write } = openUpload(caller, `${set.records}/bulk`);
    let isOver = false;
    // A caller that is still sending when the connection is closed may not read the answer.
    const told = answer
      .catch(() => undefined)
      .finally(() => {
        isOver = true;
      });
    const sending = (async () => {
      for (let at = 1; !isOver && at < 1_000_000; at += 2500) {
        await Promise.race([write(lines(at, at + 2499)), told]);
        await pause(50);
      }
    })();
    await until(async () => (await stored(set)) > 0);
    await changeUser(app.admin, caller, { disabled: true });
    const ended = Date.now();
    const found = await told;
    expect(Date.now() - ended).toBeLessThan(BOUND_MS);
    const rows = await stored(set);
    if (found) expect([found.status, found.body.inserted]).toEqual([401, rows]);
    await sending;
    request.destroy();
    await pause(1000);
    expect(await stored(set)).toBe(rows);
  });

  it('stores nothing when it is atomic', async () => {
    const caller = await app.user();
    const set = await makeCollection(caller);
    const upload = await begin(caller, set, '?atomic=true');
    const { status, body } = await endedBy(() => changeUser(app.admin, caller, { disabled: true }), upload);
    expect([status, body.inserted, await stored(set)]).toEqual([401, 0, 0]);
  });

  it('can be continued under its Idempotency-Key when its caller is allowed again', async () => {
    const caller = await app.user('back');
    const set = await makeCollection(caller);
    const key = { 'idempotency-key': `upload-${++keys}` };
    const upload = await begin(caller, set, '', key);
    const disable = () => changeUser(app.admin, caller, { disabled: true });
    const { status, body } = await endedBy(disable, upload, upload.answer);
    expect([status, body.inserted]).toEqual([401, STORED]);
    await changeUser(app.admin, caller, { disabled: false });
    const again = await app.client.signIn('back@example.com', 'password-of-back');
    const text = lines(1, STORED + 10);
    const done = await untilFree(() => again.post(`${set.records}/bulk`, text, { ...NDJSON, ...key }));
    expect(must(200, done).body.inserted).toBe(STORED + 10);
    expect(await tally(app.database, set)).toEqual([STORED + 10, STORED + 10]);
  });

  it.each([
    ['the batch after the one that is being stored at that time', '', 2 * STORED, STORED],
    ['an atomic upload that only has to be committed', '?atomic=true', STORED, 0],
  ])('stores nothing after its end: %s', async (_what, query, count, left) => {
    const caller = await app.user();
    const set = await makeCollection(caller);
    const { request, answer, write } = openUpload(caller, `${set.records}/bulk${query}`);
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY records%'`;
    const [found] = await whileLocked(
      app.database,
      'records',
      0,
      async () => {
        await write(lines(1, count));
        // The atomic upload is complete and waits for its commit; the other one stays open.
        if (query) request.end();
        return answer;
      },
      async () => {
        await until(async () => (await app.database.query(waiting)).length > 0);
        await changeUser(app.admin, caller, { disabled: true });
        await pause(LOOKS_MS);
      },
    );
    request.destroy();
    expect([found.status, found.body.inserted, await stored(set)]).toEqual([401, left, left]);
  });

  it('continues as long as it is allowed, whatever else changes', async () => {
    const caller = await app.user();
    const set = await makeCollection(caller);
    const { request, answer, write } = await begin(caller, set);
    for (const name of ['One', 'Two', 'Three']) {
      await changeUser(app.admin, caller, { name });
      await write(lines(1, 1));
      await pause(LOOKS_MS / 2);
    }
    request.end(lines(2, 2));
    expect(await answer).toMatchObject({ status: 200, body: { inserted: STORED + 4 } });
  });

  it('continues while the permission cannot be checked', async () => {
    const impatient = await startApp({ ...KEPT, DATABASE_LOCK_TIMEOUT_MS: '100' });
    try {
      const caller = await impatient.user();
      const set = await makeCollection(caller);
      const { request, answer, write } = openUpload(caller, `${set.records}/bulk`);
      await write(lines(1, 2));
      // The cached caller was dropped, and the current state cannot be read.
      await changeUser(impatient.admin, caller, { name: 'New' });
      await whileLocked(impatient.database, 'sessions', LOOKS_MS, async () => {});
      request.end(lines(3, 3));
      expect(await answer).toMatchObject({ status: 200, body: { inserted: 3 } });
    } finally {
      await impatient.close();
    }
  });
});
