import fc from 'fast-check';
import { atBoth } from '../support/at-once.js';
import type { Client, Response } from '../support/client.js';
import { freshName, type MadeCollection, makeCollection, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';
import { NDJSON } from '../support/uploads.js';

let two: Replicas;
let ada: Client;
beforeAll(async () => {
  two = await startReplicas();
  ada = await two.user();
}, 60_000);
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(() => two?.close());

interface Item {
  id: string;
  occurredAt: string;
}

const day = (n: number) => `2001-01-${String(n).padStart(2, '0')}T00:00:00.000Z`;

/** Stores a row for each of the days. */
async function fill(client: Client, { records }: MadeCollection, days: number[]): Promise<void> {
  const text = days.map((n) => `{"data":{"n":${n}},"occurredAt":"${day(n)}"}\n`).join('');
  if (text !== '') must(200, await client.post(`${records}/bulk`, text, NDJSON));
}

/** The pages of a list, read from both replicas in turn. */
async function* pagesOf(path: string): AsyncGenerator<Item[]> {
  let cursor: string | null = '';
  for (let page = 0; cursor !== null; page++) {
    const reader = atBoth(two, ada)[page % 2] as Client;
    const { body } = must(200, await reader.get(path + (cursor && `&cursor=${cursor}`)));
    yield body.items;
    cursor = body.nextCursor;
  }
}

function expectRefused(answer: Response): void {
  expectProblem(answer, 'invalid-request');
  expect(answer.body.errors).toEqual([{ pointer: 'cursor', detail: expect.any(String) }]);
}

row(42, 'a cursor that was changed', async () => {
  const set = await makeCollection(ada);
  await fill(ada, set, [1, 2, 3, 4]);
  const { nextCursor } = must(200, await ada.get(`${set.records}?limit=2`)).body;
  const ask = (client: Client, cursor: string) =>
    client.get(`${set.records}?limit=2&cursor=${encodeURIComponent(cursor)}`);
  // Each replica accepts cursors of the other.
  const [here, there] = await Promise.all(atBoth(two, ada).map((client) => ask(client, nextCursor)));
  expect([here?.status, there?.text]).toEqual([200, here?.text]);
  const bytes = Buffer.from(nextCursor);
  const flipped = Array.from({ length: 8 * bytes.length }, (_, bit) => {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    return changed.toString('latin1');
  });
  const cut = Array.from({ length: bytes.length }, (_, length) => nextCursor.slice(0, length));
  const [payload, signature] = nextCursor.split('.');
  const sealed = (text: string) => `${Buffer.from(text).toString('base64url')}.${signature}`;
  const made = [
    sealed('["2001-01-01T00:00:00.000Z","019a0000-0000-7000-8000-000000000000"]'),
    sealed('[]'),
    sealed('["\' OR true --"]'),
    `${payload}=.${signature}`,
    `${payload}.${signature}=`,
    `${nextCursor}.`,
    nextCursor.toUpperCase(),
    `${nextCursor}${nextCursor}`,
  ];
  const all = [...flipped, ...cut, ...made];
  for (const [n, changed] of all.entries()) expectRefused(await ask(atBoth(two, ada)[n % 2] as Client, changed));
  return { 'bits flipped': flipped.length, 'cut off': cut.length, 'made up': made.length, status: 400 };
});

row(42, 'a cursor of another list', async () => {
  const [set, other, hidden] = [
    await makeCollection(ada),
    await makeCollection(ada),
    await makeCollection(ada, 'private'),
  ];
  const bob = await two.user();
  await makeCollection(bob, 'private', `b-${freshName()}`);
  for (const each of [set, other, hidden]) await fill(ada, each, [1, 2, 3, 3, 4, 5, 6]);
  const lists: [who: Client, path: string][] = [
    [ada, `${set.records}?limit=1`],
    [ada, `${set.records}?limit=1&order=asc`],
    [ada, `${set.records}?limit=1&from=${day(1)}`],
    [ada, `${set.records}?limit=1&from=${day(2)}`],
    [ada, `${set.records}?limit=1&to=${day(6)}`],
    [ada, `${set.records}?limit=1&where={"n":3}`],
    [ada, `${set.records}?limit=1&where={}`],
    [ada, `${other.records}?limit=1`],
    [ada, `${hidden.records}?limit=1`],
    // These lists depend on the caller.
    [ada, '/api/v1/data?limit=1'],
    [bob, '/api/v1/data?limit=1'],
    [two.here.anyone, '/api/v1/data?limit=1'],
    [two.admin, '/api/v1/data?limit=1'],
    [two.admin, '/api/v1/users?limit=1'],
    [two.admin, '/api/v1/users?limit=1&role=user'],
    [two.admin, '/api/v1/users?limit=1&email=u'],
  ];
  const cursors = await Promise.all(lists.map(async ([who, path]) => must(200, await who.get(path)).body.nextCursor));
  expect(cursors.filter((cursor) => typeof cursor !== 'string')).toEqual([]);
  let refused = 0;
  for (const [own, [who, path]] of lists.entries()) {
    for (const [from, cursor] of cursors.entries()) {
      const answer = await at(two.there, who).get(`${path}&cursor=${cursor}`);
      if (own === from) must(200, answer);
      else {
        expectRefused(answer);
        refused++;
      }
    }
  }
  return { lists: lists.length, 'cursors of another one refused': refused };
});

/** What happens between two pages: rows are inserted, and some of the existing ones are removed. */
const event = fc.record({
  insert: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 8 }),
  remove: fc.array(fc.nat(), { maxLength: 4 }),
});

row(42, 'rows are inserted and removed during paging', async () => {
  let pages = 0;
  const runs = 60;
  await fc.assert(
    fc.asyncProperty(
      // Few different times, so that most rows share one.
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 25 }),
      fc.array(event, { maxLength: 8 }),
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom('asc', 'desc'),
      fc.boolean(),
      async (beginning, events, limit, order, isFiltered) => {
        const set = await makeCollection(ada);
        await fill(ada, set, beginning);
        const query = `limit=${limit}&order=${order}${isFiltered ? '&where={}' : ''}`;
        const first: Item[] = must(200, await ada.get(`${set.records}?limit=100`)).body.items;
        const staying = new Set(first.map(({ id }) => id));
        const removed = new Set<string>();
        const seen: Item[] = [];
        const coming = events.values();
        for await (const items of pagesOf(`${set.records}?${query}`)) {
          pages++;
          for (const { id } of items) expect([id, removed.has(id)]).toEqual([id, false]);
          seen.push(...items);
          const { insert, remove } = coming.next().value ?? { insert: [], remove: [] };
          // Removes also the last row of the page, to which the cursor points.
          const last = items.at(-1)?.id;
          const chosen = remove.map((n, index) => (index === 0 && last ? last : [...staying][n % staying.size]));
          for (const id of new Set(chosen)) {
            if (id === undefined || removed.has(id)) continue;
            must(204, await ada.delete(`${set.records}/${id}`, { 'if-match': '*' }));
            staying.delete(id);
            removed.add(id);
          }
          await fill(ada, set, insert);
        }
        const ids = seen.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect([...staying].filter((id) => !ids.includes(id))).toEqual([]);
        const places = seen.map(({ occurredAt, id }) => `${occurredAt} ${id}`);
        expect(places).toEqual(order === 'asc' ? places.toSorted() : places.toSorted().reverse());
      },
    ),
    { numRuns: runs },
  );
  return { interleavings: runs, pages };
});

row(42, 'others keep writing', async () => {
  const set = await makeCollection(ada);
  const wanted = Array.from({ length: 300 }, (_, n) => 1 + (n % 28));
  await fill(ada, set, wanted);
  const staying = new Set<string>();
  for await (const items of pagesOf(`${set.records}?limit=100`)) for (const { id } of items) staying.add(id);
  expect(staying.size).toBe(wanted.length);
  let isOver = false;
  let written = 0;
  const writers = atBoth(two, ada).map(async (writer) => {
    while (!isOver) {
      const occurredAt = day(1 + (written % 28));
      const made = must(201, await writer.post(set.records, { data: { written: written++ }, occurredAt }));
      if (written % 2) must(204, await writer.delete(`${set.records}/${made.body.id}`, { 'if-match': '*' }));
    }
  });
  let walks = 0;
  for (const end = Date.now() + 4000; Date.now() < end; walks++) {
    const order = walks % 2 ? 'asc' : 'desc';
    const seen: Item[] = [];
    for await (const items of pagesOf(`${set.records}?limit=20&order=${order}`)) seen.push(...items);
    const ids = new Set(seen.map(({ id }) => id));
    expect(ids.size).toBe(seen.length);
    expect([...staying].filter((id) => !ids.has(id))).toEqual([]);
  }
  isOver = true;
  await Promise.all(writers);
  expect([walks > 1, written > 20]).toEqual([true, true]);
  return { 'walks through all pages': walks, 'written meanwhile': written };
});
