import { getRepositoryToken } from '@nestjs/typeorm';
import type { Repository } from 'typeorm';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrder } from '../sample-orders/sample-order.entity.js';
import { SampleOrdersModule } from '../sample-orders/sample-orders.module.js';
import { must, readAll, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { expectProblem } from '../support/problem.js';
import { NDJSON, openUpload, untilFree } from '../support/uploads.js';

const PATH = '/api/v1/sample-orders';
const TAKEN = 'You have an order of this number.';

let app: TestApp;
let rows: Repository<SampleOrder>;
let ada: Client;
let bob: Client;
beforeAll(async () => {
  app = await startApp({}, { modules: [SampleOrdersModule], migrations: [SampleOrders1800000000000] });
  rows = app.nest.get(getRepositoryToken(SampleOrder));
});
beforeEach(async () => {
  [ada, bob] = [await app.user(), await app.user()];
});
afterAll(() => app?.close());

const order = (number: string, more: object = {}) => ({
  number,
  total: '12.50',
  lines: [{ article: 'pen', count: 5 }],
  ...more,
});
const linesOf = (orders: unknown[]) => orders.map((one) => `${JSON.stringify(one)}\n`).join('');
const some = (count: number, more: object = {}) => Array.from({ length: count }, (_, n) => order(`N-${n}`, more));
const upload = (by: Client, text: string, query = '', headers: Record<string, string> = {}) =>
  by.post(`${PATH}/bulk${query}`, text, { ...NDJSON, ...headers });
const countOf = ({ userId: ownerId }: Client) => rows.countBy({ ownerId });
const exported = async (by: Client, query = '') =>
  must(200, await by.get(`${PATH}/export${query}`))
    .text.split('\n')
    .slice(0, -1);

describe('an upload to a resource that declares it', () => {
  it("stores each good line once, as the caller's, and says of each bad one where and what", async () => {
    const good = some(6_000);
    const text = linesOf([
      ...good.slice(0, 1_200),
      order('N-1', { total: 'much' }),
      { ...order('mine'), ownerId: bob.userId },
      ...good.slice(1_200),
      order('N-7'),
    ]);
    const { body } = must(200, await upload(ada, `${text}{"number":\n`));
    expect(body).toMatchObject({ inserted: 6_000, failed: 4 });
    expect(body.errors.map(({ line, pointer }: { line: number; pointer: string }) => [line, pointer])).toEqual([
      [1_201, '/total'],
      [1_202, '/number'],
      [1_202, '/ownerId'],
      [6_003, ''],
      [6_004, ''],
    ]);
    expect(body.errors[3].detail).toBe(TAKEN);
    expect([await countOf(ada), await countOf(bob)]).toEqual([6_000, 0]);
    const numbers = (await rows.findBy({ ownerId: ada.userId as string })).map(({ number }) => number);
    expect(new Set(numbers)).toEqual(new Set(good.map(({ number }) => number)));
  });

  it('stores a row as a create does, whatever is in it', async () => {
    const odd = ['\\N', '\\D', '\\.', 'a\tb\nc\rd\\e\\\\f', '', ' ', 'null', '🦀 é "\'\b\f\v\u007f', '\u2028'];
    const orders = odd.map((note, n) =>
      order(`O-${n}`, { note, status: 'paid', deliveryAt: '2030-01-02T03:04:05+01:00' }),
    );
    orders.push(order('O-9'), order('O-10', { note: null, lines: [{ article: '\\N\t\n\\', count: 1 }] }));
    must(200, await upload(ada, linesOf(orders)));
    for (const one of orders) must(201, await bob.post(PATH, one));
    const sorted = async (by: Client) => {
      const all = (await readAll<{ number: string }>(by, PATH)).sort((one, other) =>
        one.number < other.number ? -1 : 1,
      );
      return all.map(({ id, ownerId, createdAt, updatedAt, ...shown }: Record<string, unknown>) => shown);
    };
    expect(await sorted(ada)).toEqual(await sorted(bob));
    const [made] = (await bob.get(PATH)).body.items;
    const [row] = JSON.parse(`[${(await exported(ada)).join()}]`);
    expect(Object.keys(row)).toEqual(Object.keys(made));
    expect(must(200, await ada.get(`${PATH}/${row.id}`)).body).toEqual(row);
  });

  it('tells of every row that is there already, and stores the others', async () => {
    must(200, await upload(ada, linesOf(some(7_000))));
    const again = must(200, await upload(ada, linesOf([...some(7_000), order('NEW-1')]))).body;
    expect(again).toMatchObject({ inserted: 1, failed: 7_000 });
    expect(again.errors).toHaveLength(1_000);
    expect(again.errors[999]).toEqual({ line: 1_000, pointer: '', detail: TAKEN });
    // To another owner these numbers are free.
    expect(must(200, await upload(bob, linesOf(some(10)))).body).toMatchObject({ inserted: 10, failed: 0 });
    expect([await countOf(ada), await countOf(bob)]).toEqual([7_001, 10]);
  });

  it('stores nothing of an atomic one with a bad line, or one that is there already', async () => {
    must(201, await ada.post(PATH, order('N-5500')));
    for (const bad of ['{"number":1}\n', linesOf([order('N-5500')])]) {
      const refused = await upload(ada, linesOf(some(5_400)) + bad, '?atomic=true');
      expectProblem(refused, 'unprocessable-content');
      expect(refused.body).toMatchObject({ inserted: 0, failed: 1 });
      expect(refused.body.errors[0].line).toBe(5_401);
    }
    expect(await countOf(ada)).toBe(1);
    expect(must(200, await upload(ada, linesOf(some(5_400)), '?atomic=true')).body.inserted).toBe(5_400);
    expect(await countOf(ada)).toBe(5_401);
  });

  it('is answered for again under its Idempotency-Key, and not mistaken for another one', async () => {
    const key = { 'idempotency-key': 'orders of today' };
    const text = linesOf([...some(10), order('N-3')]);
    const first = must(200, await upload(ada, text, '', key));
    const second = must(200, await upload(ada, text, '', key));
    expect([second.text, second.headers.get('idempotency-replayed')]).toEqual([first.text, 'true']);
    expectProblem(await upload(ada, linesOf(some(11)), '', key), 'idempotency-key-reused');
    expectProblem(await upload(ada, text, '?atomic=true', key), 'idempotency-key-reused');
    expect(must(200, await upload(bob, text, '', key)).body).toEqual(first.body);
    expect([await countOf(ada), await countOf(bob)]).toEqual([10, 10]);
  });

  it('goes on under its key where it was cut off, also behind lines that were refused', async () => {
    const key = { 'idempotency-key': 'cut off' };
    const text = linesOf([order('N-2'), ...some(7_000), order('N-3')]);
    const open = openUpload(ada, `${PATH}/bulk`, key);
    open.answer.catch(() => {});
    await open.write(text.slice(0, -100));
    await until(async () => (await countOf(ada)) > 0);
    open.request.destroy();
    const { body } = must(200, await untilFree(() => upload(ada, text, '', key)));
    expect(body).toMatchObject({ inserted: 7_000, failed: 2, errors: [{ line: 4 }, { line: 7_002 }] });
    expect(await countOf(ada)).toBe(7_000);
  });

  it('is for who is signed in, and takes an array too', async () => {
    expectProblem(await app.client.post(`${PATH}/bulk`, linesOf(some(1)), NDJSON), 'invalid-token');
    const { body } = must(200, await ada.post(`${PATH}/bulk`, [order('A-1'), 5, order('A-1')]));
    expect(body).toMatchObject({ inserted: 1, failed: 2, errors: [{ line: 2 }, { line: 3, detail: TAKEN }] });
  });
});

describe('an export of a resource that declares it', () => {
  it('has what the caller may read, as a read gives it, and no hidden column', async () => {
    must(200, await upload(ada, linesOf(some(1_500, { note: 'for ada' }))));
    must(201, await bob.post(PATH, order('B-1')));
    await rows.update({ ownerId: ada.userId as string }, { internalNote: 'for the staff' });
    const lines = await exported(ada);
    expect(lines).toHaveLength(1_500);
    expect(lines.join()).not.toMatch(/internal|for the staff|B-1/);
    expect(lines.map((line) => JSON.parse(line))).toEqual(await readAll(ada, PATH));
    expect(await exported(bob)).toHaveLength(1);
    expect(await exported(app.admin)).toHaveLength(await rows.count());
  });

  it('is filtered and sorted as a list is', async () => {
    const totals = ['3.00', '1.00', '2.00', '10.00'];
    must(
      200,
      await upload(
        ada,
        linesOf(totals.map((total, n) => order(`T-${n}`, { total, status: n === 1 ? 'paid' : 'open' }))),
      ),
    );
    for (const query of ['', '?sort=total', '?sort=-total&status=open', '?status=paid', '?status=sent']) {
      const list = must(200, await ada.get(`${PATH}${query}`)).body.items;
      expect((await exported(ada, query)).map((line) => JSON.parse(line))).toEqual(list);
    }
    for (const query of ['?status=old', '?sort=note', '?limit=1', '?ownerId=x', '?status=paid&status=open'])
      expectProblem(await ada.get(`${PATH}/export${query}`), 'invalid-request');
  });

  it('says what it is and how it may be kept, to HEAD too, and is for who is signed in', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { headers } = must(200, await ada.send(method, `${PATH}/export`, undefined));
      expect(headers.get('content-type')).toBe('application/x-ndjson');
      expect(headers.get('cache-control')).toBe('private, no-cache');
    }
    expectProblem(await app.client.get(`${PATH}/export`), 'invalid-token');
    expectProblem(await ada.get(`${PATH}/export`, { accept: 'application/json' }), 'not-acceptable');
  });
});
