import { Ticks } from '../../src/platform/feed/ticks.js';
import { Deliveries } from '../../src/platform/resource/webhooks/deliveries.js';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrdersModule } from '../sample-orders/sample-orders.module.js';
import { etagOf, must, readAll, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { makeCollection } from '../support/collections.js';
import { pause } from '../support/process.js';
import { Receiver } from '../support/receiver.js';

const PATH = '/api/v1/sample-orders';
const HOOKS = `${PATH}/webhooks`;
const ADDED = { modules: [SampleOrdersModule], migrations: [SampleOrders1800000000000] };

let app: TestApp;
let ada: Client;
let bob: Client;
let receiver: Receiver;
beforeAll(async () => {
  app = await startApp({ WEBHOOK_ALLOWED_ADDRESSES: '127.0.0.0/8' }, ADDED);
  [ada, bob] = [await app.user('ada'), await app.user('bob')];
});
beforeEach(async () => {
  receiver = await Receiver.start();
});
afterEach(async () => {
  await app.database.query('DELETE FROM webhooks');
  await receiver.close();
});
afterAll(() => app?.close());

let count = 0;
const order = (by: Client) =>
  by.post(PATH, { number: `W-${++count}`, total: '12.50', lines: [{ article: 'pen', count: 5 }] });

async function subscribe(by: Client, more: object = {}): Promise<string> {
  const made = must(201, await by.post(HOOKS, { url: receiver.url, ...more }));
  receiver.secret = made.body.secret;
  return made.headers.get('location') as string;
}

const got = (events: number, seconds?: number) => until(async () => receiver.accepted.length >= events, seconds);

it("posts the changes of a user's own orders, and of nobody else's", async () => {
  await subscribe(ada, { ordered: true });
  must(201, await order(bob));
  const made = must(201, await order(ada));
  const path = made.headers.get('location') as string;
  const paid = must(200, await ada.patch(path, { status: 'paid' }, { 'if-match': etagOf(made) }));
  must(204, await ada.delete(path, { 'if-match': etagOf(paid) }));
  must(201, await order(bob));
  await got(3);
  await pause(1500);
  expect(receiver.accepted.map(({ type, data }) => [type, data])).toEqual([
    ['sample-order.created', made.body],
    ['sample-order.updated', paid.body],
    ['sample-order.deleted', paid.body],
  ]);
  expect(JSON.stringify(receiver.received)).not.toContain('internal');
  expect(receiver.forged).toBe(0);
});

it('posts all orders to an admin, for as long as they are one', async () => {
  const carol = await app.user('carol');
  const promote = (role: string) =>
    app.database.query('UPDATE users SET role = $1 WHERE id = $2', [role, carol.userId]);
  await promote('admin');
  const admin = await app.client.signIn('carol@example.com', 'password-of-carol');
  const path = await subscribe(admin, { ordered: true });
  const numbers = [must(201, await order(ada)), must(201, await order(bob))].map(({ body }) => body.number);
  await got(2);
  expect(receiver.accepted.map(({ data }) => data.number)).toEqual(numbers);
  await promote('user');
  must(201, await order(ada));
  const user = await app.client.signIn('carol@example.com', 'password-of-carol');
  await until(async () => must(200, await user.get(path)).body.state === 'off', 20);
  expect(must(200, await user.get(path)).body.lastError).toBe('its owner may not read these changes');
  expect(receiver.received).toHaveLength(2);
});

it("is its user's alone, whoever else asks", async () => {
  const path = await subscribe(ada);
  for (const other of [bob, app.admin]) {
    must(404, await other.get(path));
    must(404, await other.patch(path, { state: 'off' }, { 'if-match': '"1-1"' }));
    must(404, await other.post(`${path}/rotate`, {}, { 'if-match': '*' }));
    must(404, await other.delete(path, { 'if-match': '*' }));
    expect(must(200, await other.get(HOOKS)).body.items).toEqual([]);
  }
  must(401, await app.client.get(path));
  for (let n = 0; n < 19; n++) await subscribe(ada);
  must(409, await ada.post(HOOKS, { url: receiver.url }));
  await subscribe(bob);
  expect(await readAll(ada, `${HOOKS}?limit=7`)).toHaveLength(20);
  must(204, await ada.delete(path, { 'if-match': etagOf(await ada.get(path)) }));
  must(404, await ada.get(path));
});

it('keeps the place of one to which nothing happens', async () => {
  await subscribe(app.admin);
  await subscribe(ada);
  const { records } = await makeCollection(bob);
  must(201, await bob.post(records, { data: {} }));
  const tick = await app.nest.get(Ticks).now();
  const positions = async (past: string) => {
    await app.database.query('UPDATE change_ticks SET at = at - $1::interval', [past]);
    await app.nest.get(Deliveries).look();
    return (await app.database.query('SELECT position = $1 AS "isThere" FROM webhooks ORDER BY id', [tick])).map(
      ({ isThere }) => isThere,
    );
  };
  // That of all rows looks through the changes of all tables.
  expect(await positions('2 minutes')).toEqual([true, false]);
  expect(await positions('9 minutes')).toEqual([true, true]);
  await app.database.query('DELETE FROM webhooks WHERE owner_id = $1', [app.admin.userId]);
  const made = must(201, await order(ada));
  await got(1);
  expect(receiver.accepted.map(({ data }) => data)).toEqual([made.body]);
});
