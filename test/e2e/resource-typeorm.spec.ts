import { getRepositoryToken } from '@nestjs/typeorm';
import { DataSource, type Repository } from 'typeorm';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrder } from '../sample-orders/sample-order.entity.js';
import { sampleOrders } from '../sample-orders/sample-order.schema.js';
import { SampleOrdersModule } from '../sample-orders/sample-orders.module.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { must } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let rows: Repository<SampleOrder>;
beforeAll(async () => {
  app = await startApp({}, { modules: [SampleOrdersModule], migrations: [SampleOrders1800000000000] });
  ada = await app.user('ada');
  rows = app.nest.get(getRepositoryToken(SampleOrder));
});
afterAll(() => app?.close());

let count = 0;
/** A row that was read and is therefore cached, and a function that reads its note as a client. */
async function keptRow(): Promise<{ row: SampleOrder; note(): Promise<string> }> {
  const input = { number: `N-${++count}`, total: '1.00', lines: [{ article: 'pen', count: 1 }], note: 'old' };
  const path = must(201, await ada.post(sampleOrders.path, input)).headers.get('location') as string;
  const note = async () => must(200, await ada.get(path)).body.note;
  await note();
  return { row: await rows.findOneByOrFail({ number: input.number }), note };
}

it('shows a change that TypeORM made in a nested transaction once the outer one is committed', async () => {
  const { row, note } = await keptRow();
  await app.nest.get(DataSource).transaction(async (outer) => {
    await outer.transaction((inner) => inner.save(Object.assign(row, { note: 'new' })));
    expect(await note()).toBe('old');
  });
  expect(await note()).toBe('new');
});

it('shows a change that TypeORM made before a nested transaction was rolled back', async () => {
  const { row, note } = await keptRow();
  await app.nest.get(DataSource).transaction(async (outer) => {
    await outer.save(Object.assign(row, { note: 'new' }));
    await outer.transaction(() => Promise.reject(new Error('undone'))).catch(() => {});
    expect(await note()).toBe('old');
  });
  expect(await note()).toBe('new');
});

it('shows a change that TypeORM made without a transaction', async () => {
  const { row, note } = await keptRow();
  await rows.save(Object.assign(row, { note: 'new' }), { transaction: false });
  expect(await note()).toBe('new');
});

it('shows a row that TypeORM made under an id that was requested before', async () => {
  const { row } = await keptRow();
  const path = `${sampleOrders.path}/${row.id}`;
  await rows.remove(Object.assign(new SampleOrder(), row));
  must(404, await ada.get(path));
  await rows.insert({ ...row, lines: row.lines as never });
  must(200, await ada.get(path));
});
