// The second subject: test/sample-orders, a module as a team writes it, built into a copy of the project, and 100,000 of its rows in a
// database of their own: the project as it stands refuses one that knows more migrations than it does.
import { join } from 'node:path';
import { copyWithModule, filesOfModule } from '../scripts/copy-with-module.ts';
import { folder } from './servers.mjs';
import { connect, momentOf, RECORDS, shuffle } from './stage.mjs';

const DATABASE = 'orders';
const PATH = '/api/v1/sample-orders';
const BUYER = { email: 'buyer@example.com', password: 'buyer-of-the-bench', name: 'Buyer' };
/** What the module says otherwise where anyone may read: file, what stands there, and what then does. */
const FOR_ANYONE = [
  ['src/sample-orders/sample-order.schema.ts', "ownedBy('ownerId')", "ownedBy('ownerId', 'anyone')"],
  [
    'src/sample-orders/sample-orders.controller.ts',
    '@route.ReadRoute(sampleOrders)',
    '@Anyone()\n  @route.ReadRoute(sampleOrders)',
  ],
  ['src/sample-orders/sample-orders.controller.ts', 'import { type Caller,', 'import { Anyone, type Caller,'],
];

const FILL = `
  INSERT INTO sample_orders (owner_id, number, status, total, lines, note, delivery_at, created_at, updated_at)
  SELECT CASE n % 2 WHEN 0 THEN buyer.id ELSE admin.id END, 'B-' || n, (ARRAY['open', 'paid', 'sent', 'cancelled'])[1 + n % 4],
    (n % 10000) / 100.0,
    jsonb_build_array(jsonb_build_object('article', 'pen ' || n % 100, 'count', 1 + n % 9),
      jsonb_build_object('article', 'paper ' || n % 70, 'count', 1 + n % 500)),
    CASE n % 3 WHEN 0 THEN 'Ring twice, and leave it with the neighbours.' END,
    CASE n % 2 WHEN 0 THEN made + interval '3 days' END, made, made
  FROM generate_series(0, $3::int - 1) AS n, LATERAL (SELECT $2::timestamptz + n * interval '1 second' AS made) AS at,
    (SELECT id FROM users WHERE email = $1) AS buyer, (SELECT id FROM users WHERE role = 'admin' LIMIT 1) AS admin`;

let opening;
/** The same for all scenarios of a run: it is made when the first of them asks for it. */
export const ordersOn = (stage) => {
  opening ??= OrdersStage.open(stage);
  return opening;
};

class OrdersStage {
  constructor(stage, projects, databaseUrl, client) {
    this.stage = stage;
    this.projects = projects;
    this.databaseUrl = databaseUrl;
    this.client = client;
  }

  static async open(stage) {
    const [owner, anyone] = await Promise.all(['owner', 'anyone'].map(build));
    await stage.sql(`CREATE DATABASE ${DATABASE}`);
    const { href } = Object.assign(new URL(stage.databaseUrl), { pathname: DATABASE });
    const orders = new OrdersStage(stage, { owner, anyone }, href, await connect(href));
    await orders.#fill();
    return orders;
  }

  async #fill() {
    const { stage } = this;
    const { url } = await this.floodgate('owner', { MIGRATE_ON_START: 'true' });
    await this.#register(url);
    await this.sql(FILL, [BUYER.email, momentOf(0), RECORDS]);
    await this.sql('VACUUM ANALYZE sample_orders');
    const rows = await this.sql(
      'SELECT id, owner_id FROM sample_orders WHERE owner_id = (SELECT id FROM users WHERE email = $1)',
      [BUYER.email],
    );
    this.ownerId = rows[0].owner_id;
    /** Ids of all orders of the buyer's, in no order. */
    this.ids = shuffle(rows.map(({ id }) => id));
    const headers = await this.bearer(url);
    this.constant = await (await fetch(url + this.path(), { headers })).text();
    /** Where the pages of the buyer's list begin, for Floodgate and for a peer, in no order. */
    this.pages = shuffle(await pagesOf(url, headers));
    await stage.clear();
  }

  async #register(url) {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify(BUYER);
    const response = await fetch(`${url}/api/v1/auth/register`, { method: 'POST', headers, body });
    if (response.status !== 201) throw new Error(`The buyer was not registered: ${await response.text()}`);
  }

  /** @returns rows */
  async sql(text, values) {
    return (await this.client.query(text, values)).rows;
  }

  /** Floodgate's path of an order of the buyer's. */
  path(id = this.ids[0]) {
    return `${PATH}/${id}`;
  }

  /** @param readers who may read an order: its owner, as the module has it, or anyone */
  floodgate(readers = 'owner', settings = {}) {
    return this.stage.floodgate({ DATABASE_URL: this.databaseUrl, ...settings }, { project: this.projects[readers] });
  }

  peer(name) {
    const settings = { DATABASE_URL: this.databaseUrl, CONSTANT: this.constant };
    return this.stage.peer(name, settings, `/orders/${this.ids[0]}`);
  }

  /** The buyer's headers. */
  bearer(url) {
    return this.stage.bearer(url, BUYER);
  }

  /** Removes what was made beside the 100,000. */
  async empty() {
    await this.sql('DELETE FROM sample_orders WHERE created_at >= $1', [momentOf(RECORDS)]);
    await this.sql('TRUNCATE idempotency_keys');
    await this.sql('VACUUM sample_orders');
    await this.sql('CHECKPOINT');
  }
}

/** The module as it stands, or with two words more: that anyone may read an order, and needs no token for it. */
function build(readers) {
  const files = filesOfModule('test/sample-orders', 'src/sample-orders');
  for (const [path, from, to] of readers === 'anyone' ? FOR_ANYONE : []) {
    if (!files[path].includes(from)) throw new Error(`${path} has no ${from}.`);
    files[path] = files[path].replace(from, to);
  }
  const migration = Object.keys(files).find((path) => /\/\d+-[\w-]+\.ts$/.test(path));
  return copyWithModule({
    folder: join(folder, `orders-${readers}`),
    files,
    module: 'src/sample-orders/sample-orders.module.ts',
    migration,
  });
}

async function pagesOf(url, headers) {
  const pages = [];
  for (let path = `${PATH}?limit=20`; ; ) {
    const { items, nextCursor } = await (await fetch(url + path, { headers })).json();
    if (nextCursor === null) return pages;
    path = `${PATH}?limit=20&cursor=${nextCursor}`;
    const { createdAt, id } = items.at(-1);
    pages.push({ path, query: `at=${createdAt}&id=${id}` });
  }
}
