// What a module of one's own costs: test/sample-orders under load by HTTP, beside the same peers, and as near as can be to what `data` has.
import { NUMBER } from './load.mjs';
import { ordersOn } from './orders-stage.mjs';
import { assertSame, loaded, perSecond } from './scenarios.mjs';

/** Of one or many orders, by their ids. */
const reading = (name, metrics, { yardstick, readers, settings, count }) => ({
  name,
  yardstick,
  metrics,
  async prepare(stage, options) {
    const orders = await ordersOn(stage);
    const { url } = await orders.floodgate(readers, settings);
    const headers = readers === 'anyone' ? {} : await orders.bearer(url);
    const ids = orders.ids.slice(0, count);
    const theirs = { url: (await orders.peer(yardstick)).url, paths: ids.map((id) => `/orders/${id}`), headers };
    const ours = { url, paths: ids.map((id) => orders.path(id)), headers };
    const contestants = [loaded(yardstick, theirs, options), loaded('floodgate', ours, options)];
    await assertSame(contestants);
    return { contestants };
  },
});

const list = {
  name: 'orders-list',
  yardstick: 'fastify-pg',
  metrics: perSecond('orders: keyset list of 20', 1.1, undefined, 'keyset list of 20'),
  async prepare(stage, options) {
    const orders = await ordersOn(stage);
    const { url } = await orders.floodgate();
    const headers = await orders.bearer(url);
    const theirPath = `/owners/${orders.ownerId}/orders`;
    const theirPaths = orders.pages.map(({ query }) => `${theirPath}?${query}`);
    const contestants = [
      loaded('fastify-pg', { url: (await orders.peer('fastify-pg')).url, paths: theirPaths, headers }, options),
      loaded('floodgate', { url, paths: orders.pages.map(({ path }) => path), headers }, options),
    ];
    await assertSame(contestants, { of: (text) => JSON.stringify(JSON.parse(text).items) });
    return { contestants };
  },
};

/** New orders of one buyer, one a request, each with a number of its own; before each slice those of the last one are removed. */
const creating = (name, metrics, ours = {}) => ({
  name,
  yardstick: 'fastify-pg',
  metrics,
  async prepare(stage, options) {
    const orders = await ordersOn(stage);
    const { url } = await orders.floodgate();
    const headers = { 'Content-Type': 'application/json', ...(await orders.bearer(url)) };
    const lines = [
      { article: 'pen', count: 5 },
      { article: 'paper', count: 500 },
    ];
    const request = { method: 'POST', headers, body: JSON.stringify({ number: NUMBER, total: '12.50', lines }) };
    const theirPaths = [`/owners/${orders.ownerId}/orders`];
    const contestants = [
      loaded('fastify-pg', { ...request, url: (await orders.peer('fastify-pg')).url, paths: theirPaths }, options),
      loaded(
        'floodgate',
        { ...request, url, paths: ['/api/v1/sample-orders'], headers: { ...headers, ...ours } },
        options,
      ),
    ];
    const told = ['ownerId', 'status', 'total', 'lines', 'note', 'deliveryAt', 'version'];
    await assertSame(contestants, {
      status: 201,
      of: (text) => [Object.keys(JSON.parse(text)), told.map((member) => JSON.parse(text)[member])],
    });
    return { contestants, before: () => orders.empty(), after: () => orders.empty() };
  },
});

export const orderScenarios = [
  reading('orders-cached', perSecond('orders: cached GET, one key', 0.7, undefined, 'cached GET, one key'), {
    yardstick: 'fastify',
    readers: 'anyone',
    count: 1,
  }),
  reading(
    'orders-private',
    perSecond('orders: cached GET, private, with a token', 0.55, undefined, 'cached GET, private, with a token'),
    {
      yardstick: 'fastify',
      readers: 'owner',
      count: 1,
    },
  ),
  reading('orders-uncached', perSecond('orders: uncached GET by id', 1.1, undefined, 'uncached GET by id'), {
    yardstick: 'fastify-pg',
    readers: 'owner',
    settings: { CACHE_TTL_MS: '0' },
  }),
  list,
  creating('orders-create', perSecond('orders: create one', 0.8, undefined, 'create one record')),
  creating(
    'orders-create-once',
    perSecond('orders: create one, Idempotency-Key', 0.7, undefined, 'create one record, Idempotency-Key'),
    { 'Idempotency-Key': NUMBER },
  ),
];
