import { getRepositoryToken } from '@nestjs/typeorm';
import fc from 'fast-check';
import type { Repository } from 'typeorm';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrder } from '../sample-orders/sample-order.entity.js';
import { sampleOrderSchema } from '../sample-orders/sample-order.schema.js';
import { SampleOrdersModule } from '../sample-orders/sample-orders.module.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { etagOf, must } from '../support/collections.js';
import { type Answered, expectProblem } from '../support/problem.js';
import { TestRedis } from '../support/redis.js';

const PATH = '/api/v1/sample-orders';
const ADDED = { modules: [SampleOrdersModule], migrations: [SampleOrders1800000000000] };
function problem<T extends Answered>(answer: T, type: Parameters<typeof expectProblem>[1]) {
  expectProblem(answer, type);
  return answer.body;
}

const SHOWN = Object.keys(sampleOrderSchema.shape);

describe.each([
  ['with the edge', 'true', false],
  ['without the edge', 'false', false],
  ['with Redis', 'true', true],
])('a resource that a module declares, %s', (_, EDGE, hasRedis) => {
  let redis: TestRedis | undefined;
  let app: TestApp;
  let ada: Client;
  let bob: Client;
  let rows: Repository<SampleOrder>;
  beforeAll(async () => {
    redis = hasRedis ? await TestRedis.start() : undefined;
    app = await startApp({ EDGE, ...(redis && { REDIS_URL: redis.url }) }, ADDED);
    [ada, bob] = [await app.user('ada'), await app.user('bob')];
    rows = app.nest.get(getRepositoryToken(SampleOrder));
  });
  afterAll(async () => {
    await app?.close();
    await redis?.kill();
  });

  let count = 0;
  const input = (more: object = {}) => ({
    number: `N-${++count}`,
    total: '12.50',
    lines: [{ article: 'pen', count: 5 }],
    ...more,
  });
  const make = async (more: object = {}, by = ada) => must(201, await by.post(PATH, input(more)));
  const tag = (response: { headers: Headers }) => ({ 'if-match': response.headers.get('etag') as string });

  it('is made with a location and a tag, and read unchanged by its owner and by admins', async () => {
    const made = await make({ note: 'é " \\ \u2028 🦀', deliveryAt: '2030-01-02T03:04:05+01:00' });
    expect(made.headers.get('location')).toBe(`${PATH}/${made.body.id}`);
    expect(made.body).toMatchObject({
      status: 'open',
      total: '12.50',
      deliveryAt: '2030-01-02T02:04:05.000Z',
      version: 1,
    });
    for (const who of [ada, app.admin]) {
      for (let time = 0; time < 3; time++) {
        const read = must(200, await who.get(`${PATH}/${made.body.id}`));
        expect([read.text, etagOf(read)]).toEqual([made.text, etagOf(made)]);
        expect(read.headers.get('cache-control')).toBe('private, no-cache');
      }
    }
    must(304, await ada.get(`${PATH}/${made.body.id.toUpperCase()}`, { 'if-none-match': etagOf(made) }));
  });

  it('answers 404 to other users, even when it is cached', async () => {
    const made = await make();
    const path = `${PATH}/${made.body.id}`;
    must(200, await ada.get(path));
    const missing = problem(await bob.get(path), 'not-found');
    expect(missing.detail).toBe('There is no sample order with this id.');
    const absent = await bob.get(`${PATH}/01890000-0000-7000-8000-000000000000`);
    expect(problem(absent, 'not-found').detail).toBe(missing.detail);
    problem(await app.client.get(path), 'invalid-token');
    problem(await bob.put(path, input(), tag(made)), 'not-found');
    problem(await bob.patch(path, { note: 'mine' }, tag(made)), 'not-found');
    problem(await bob.delete(path, tag(made)), 'not-found');
    must(200, await ada.get(path));
  });

  it("shows each value as JSON.stringify writes TypeORM's, and no hidden column", async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 50 }).filter((one) => !one.includes('\0'));
    const any = fc.record({
      note: fc.option(text),
      total: fc.bigInt(0n, 10n ** 12n - 1n).map((n) => `${n / 100n}.${String(n % 100n).padStart(2, '0')}`),
      lines: fc.array(fc.record({ article: text, count: fc.integer() }), { minLength: 1, maxLength: 3 }),
      deliveryAt: fc.option(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })),
    });
    const owner = { ownerId: ada.userId as string, status: 'open', internalNote: 'secret' };
    const made = await rows.save(
      fc.sample(any, 100).map((one) => rows.create({ ...(one as object), ...owner, number: `N-${++count}` })),
    );
    for (const { id } of made) {
      const row = await rows.findOneByOrFail({ id });
      const shown = must(200, await ada.get(`${PATH}/${id}`));
      expect(shown.body).toEqual(JSON.parse(JSON.stringify(row, [...SHOWN, 'article', 'count'])));
      expect(Object.keys(shown.body)).toEqual(SHOWN);
      expect(shown.text).not.toContain('secret');
    }
  });

  it('does not reveal to a stranger that it is cached, even when the entry has expired', async () => {
    const short = await startApp({ EDGE, CACHE_TTL_MS: '0' }, ADDED);
    try {
      const [owner, stranger] = [await short.user('owner'), await short.user('stranger')];
      const { id } = must(201, await owner.post(PATH, input())).body;
      for (let time = 0; time < 3; time++) {
        must(200, await owner.get(`${PATH}/${id}`));
        const [there, absent] = await Promise.all(
          [id, '01890000-0000-7000-8000-000000000000'].map((one) => stranger.get(`${PATH}/${one}`)),
        );
        const namesOf = ({ headers }: Answered) => [...headers.keys()].sort();
        expect([there?.status, namesOf(there as Answered)]).toEqual([absent?.status, namesOf(absent as Answered)]);
      }
    } finally {
      await short.close();
    }
  });

  it('is made once under an Idempotency-Key, and refuses the key for another body', async () => {
    const [body, key] = [input(), { 'idempotency-key': `key of ${++count}` }];
    const [first, again] = await Promise.all([ada.post(PATH, body, key), ada.post(PATH, body, key)]);
    const replayed = must(201, await ada.post(PATH, body, key));
    for (const one of [first, again, replayed])
      expect([one.status, one.text, etagOf(one)]).toEqual([201, replayed.text, etagOf(replayed)]);
    expect(replayed.headers.get('idempotency-replayed')).toBe('true');
    problem(await ada.post(PATH, input(), key), 'idempotency-key-reused');
    expect(await rows.countBy({ number: body.number })).toBe(1);
  });

  it('reports a violated constraint in the words of its declaration, and still makes the other rows of the batch', async () => {
    const taken = await make();
    const bodies = Array.from({ length: 30 }, (_, n) => (n % 3 === 0 ? input({ number: taken.body.number }) : input()));
    const answers = await Promise.all(bodies.map((body) => ada.post(PATH, body)));
    for (const [n, answer] of answers.entries()) {
      if (n % 3 !== 0) must(201, answer);
      else expect(problem(answer, 'conflict').detail).toBe('You have an order of this number.');
    }
    must(201, await bob.post(PATH, input({ number: taken.body.number })));
    const other = await make();
    const stolen = await ada.put(`${PATH}/${other.body.id}`, input({ number: taken.body.number }), tag(other));
    problem(stolen, 'conflict');
    expect((await ada.get(`${PATH}/${other.body.id}`)).text).toBe(other.text);
  });

  it('is replaced, patched and deleted with If-Match, and read in its new state at once', async () => {
    const made = await make({ note: 'first' });
    const path = `${PATH}/${made.body.id}`;
    must(200, await ada.get(path));
    problem(await ada.put(path, input()), 'precondition-required');
    must(204, await ada.delete(`${PATH}/${(await make()).body.id}`, { 'if-match': '*' }));
    const replaced = must(200, await ada.put(path, input({ total: '1.00' }), tag(made)));
    expect(replaced.body).toMatchObject({ total: '1.00', note: null, version: 2, createdAt: made.body.createdAt });
    expect((await ada.get(path)).text).toBe(replaced.text);
    problem(await ada.patch(path, { total: '2.00' }, tag(made)), 'precondition-failed');
    const patched = must(200, await app.admin.patch(path, { note: 'new', status: 'paid' }, tag(replaced)));
    expect(patched.body).toMatchObject({ total: '1.00', note: 'new', status: 'paid', version: 3, ownerId: ada.userId });
    must(200, await ada.patch(path, { note: null }, tag(patched)));
    const read = must(200, await ada.get(path));
    expect(read.body.note).toBeNull();
    for (const [patch, pointer] of [
      [{ total: 'much' }, '/total'],
      [{ lines: null }, '/lines'],
      [{ ownerId: bob.userId }, '/ownerId'],
      [{ lines: [{ article: '', count: 1 }] }, '/lines/0/article'],
    ] as const) {
      const refused = problem(await ada.patch(path, patch, tag(read)), 'invalid-request');
      expect(refused.errors).toMatchObject([{ pointer }]);
    }
    must(204, await ada.delete(path, tag(read)));
    problem(await ada.get(path), 'not-found');
  });

  it('leaves the cache when TypeORM itself changes or removes the row', async () => {
    const made = await make();
    const path = `${PATH}/${made.body.id}`;
    must(200, await ada.get(path));
    const row = await rows.findOneByOrFail({ id: made.body.id });
    await rows.save(Object.assign(row, { status: 'sent' }));
    expect(must(200, await ada.get(path)).body).toMatchObject({ status: 'sent', version: 2 });
    await rows.remove(row);
    problem(await ada.get(path), 'not-found');
  });

  it('lists each row once across pages, in every order, with a filter or without', async () => {
    const carol = await app.user(`carol${EDGE}`);
    for (let n = 0; n < 7; n++) {
      const bodies = Array.from({ length: 5 }, (_, m) =>
        input({ total: `${n}.${m}0`, status: m % 2 ? 'paid' : 'open' }),
      );
      await Promise.all(bodies.map(async (body) => must(201, await carol.post(PATH, body))));
    }
    const all = await rows.findBy({ ownerId: carol.userId as string });
    const by = {
      createdAt: (one: SampleOrder) => one.createdAt.getTime(),
      total: (one: SampleOrder) => Number(one.total),
    };
    for (const sort of ['createdAt', 'total'] as const) {
      for (const [sign, direction] of [
        ['', 1],
        ['-', -1],
      ] as const) {
        for (const status of [undefined, 'paid']) {
          const wanted = all
            .filter((one) => status === undefined || one.status === status)
            .sort((a, b) => direction * (by[sort](a) - by[sort](b) || (a.id < b.id ? -1 : 1)));
          const found: string[] = [];
          let next: string | null = `${PATH}?limit=4&sort=${sign}${sort}${status ? `&status=${status}` : ''}`;
          while (next) {
            const page = must(200, await carol.get(next));
            found.push(...page.body.items.map(({ id }: SampleOrder) => id));
            next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1] ?? null;
            expect(next === null).toBe(page.body.nextCursor === null);
          }
          expect(found).toEqual(wanted.map(({ id }) => id));
        }
      }
    }
    const newest = must(200, await carol.get(PATH));
    expect(newest.body.items[0].id).toBe(all.reduce((a, b) => (a.id > b.id ? a : b)).id);
    const everything = must(200, await app.admin.get(`${PATH}?limit=100`)).body.items;
    expect(new Set(everything.map(({ ownerId }: SampleOrder) => ownerId)).size).toBeGreaterThan(1);
    const foreign = must(200, await carol.get(`${PATH}?limit=4`)).body.nextCursor;
    problem(await ada.get(`${PATH}?limit=4&cursor=${foreign}`), 'invalid-request');
    problem(await ada.get(`${PATH}?sort=internalNote`), 'invalid-request');
  });

  it('is removed with its owner, also from the cache', async () => {
    const dave = await app.user(`dave${EDGE}`);
    const made = await make({}, dave);
    must(200, await app.admin.get(`${PATH}/${made.body.id}`));
    const user = must(200, await app.admin.get(`/api/v1/users/${dave.userId}`));
    must(204, await app.admin.delete(`/api/v1/users/${dave.userId}`, tag(user)));
    problem(await app.admin.get(`${PATH}/${made.body.id}`), 'not-found');
  });
});
