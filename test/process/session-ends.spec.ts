import type { Client } from '../support/client.js';
import { makeCollection, until } from '../support/collections.js';
import { changeUser, ENDINGS } from '../support/endings.js';
import { expectUnharmed, pause } from '../support/process.js';
import { at, type Replicas, startReplicas, whileHeard } from '../support/replicas.js';
import { lines, openUpload, tally } from '../support/uploads.js';

/** The other process knows within this time. */
const BOUND_MS = 1000;

let two: Replicas;
beforeAll(async () => {
  // Without messages between them, a cached session would stay valid for far longer.
  two = await startReplicas({ SESSION_CHECK_MS: '5000', CACHE_TTL_MS: '600000' });
}, 60_000);
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(() => two?.close());

/** This route refuses a bad token before it reads anything. */
const isIn = async (client: Client) => (await client.get('/api/v1/data')).status === 200;

it.each(ENDINGS)('a user who %s at one process is refused at the other within 1 s', (_what, end) =>
  whileHeard(two, async () => {
    const user = await two.user();
    const there = at(two.there, user);
    for (const client of [user, there, user, there]) expect(await isIn(client)).toBe(true);
    await end(two.admin, user, two.database);
    const ended = Date.now();
    expect(await isIn(user)).toBe(false);
    while ((await isIn(there)) && Date.now() < ended + 2 * BOUND_MS) await pause(10);
    expect(Date.now() - ended).toBeLessThan(BOUND_MS);
    for (let n = 0; n < 5; n++) expect(await isIn(there)).toBe(false);
  }),
);

it('an upload at one process ends when its caller is disabled at the other', () =>
  whileHeard(two, async () => {
    const user = await two.user();
    const set = await makeCollection(user, 'public', `set-of-${user.userId}`);
    const { request, answer, write } = openUpload(at(two.there, user), `${set.records}/bulk`);
    await write(lines(1, 5001));
    await until(async () => (await tally(two.database, set))[0] === 5000);
    await changeUser(two.admin, user, { disabled: true });
    const ended = Date.now();
    const { status, body } = await answer;
    request.destroy();
    expect([status, body.inserted]).toEqual([401, 5000]);
    // The promised bound, and a margin for a slow machine.
    expect(Date.now() - ended).toBeLessThan(5000 + 3000);
  }));
