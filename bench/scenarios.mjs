// What is measured under load by HTTP: who is asked what, and that all answer the same.
import { deepStrictEqual } from 'node:assert';
import { NUMBER, numbered, slice } from './load.mjs';
import { dataOf, momentOf, RECORDS } from './stage.mjs';

const CONNECTIONS = 64;
const WARM_S = 2;
const KEYS = 1000;
const POSITIONS = 50_000;

/** @param like the row of `data` that does the same, to be held against it */
export const perSecond = (name, must, goal, like) => [{ name, value: 'rps', unit: '/s', must, goal, like }];

/** A contestant who is asked for all of `target` in slices of the given length. */
export function loaded(name, target, { seconds }, how = {}) {
  const load = (time) => slice(target, { connections: CONNECTIONS, seconds: time, ...how });
  return { name, target, warm: () => load(WARM_S), take: () => load(seconds) };
}

const floodgateAt = (server, stage, ids) => ({ url: server.url, paths: ids.map((id) => stage.path(id)) });
const peerAt = ({ url }, ids) => ({ url, paths: ids.map((id) => `/records/${id}`) });

async function answerOf({ url, paths, method, ...sent }, index = 0) {
  const response = await fetch(url + paths[index], { method, ...numbered(sent) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** A record's bytes are the same but for white space in `data`: PostgreSQL's own text of it has some. */
const canonical = (text) => JSON.stringify(JSON.parse(text));

/** @throws AssertionError when a contestant answers other than the first one does, at the first and at other paths */
export async function assertSame(contestants, { status = 200, of = canonical, constant = [] } = {}) {
  for (const index of [0, 1, 500]) {
    const asked = contestants.filter(
      ({ name, target }) => index < target.paths.length && (index === 0 || !constant.includes(name)),
    );
    const answers = await Promise.all(asked.map(({ target }) => answerOf(target, index)));
    const said = answers.map((answer, i) => ({ name: asked[i].name, status: answer.status, answer: of(answer.text) }));
    for (const one of said)
      deepStrictEqual({ ...one, name: '' }, { ...said[0], status, name: '' }, `${one.name} answers otherwise`);
  }
}

/** Asked for these records: Floodgate with these settings, and peers by their names. */
async function readers(stage, options, { ids, settings, peers, constant = ['fastify', 'node-http'] }) {
  const ours = loaded('floodgate', floodgateAt(await stage.floodgate(settings), stage, ids), options);
  const others = [];
  for (const [name, environment] of Object.entries(peers)) {
    others.push(loaded(name, peerAt(await stage.peer(name, environment), ids), options));
  }
  // The yardstick is played right before Floodgate.
  const contestants = [others[0], ours, ...others.slice(1)];
  await assertSame(contestants, { constant });
  return { contestants };
}

const oneKey = {
  name: 'cached',
  yardstick: 'fastify',
  metrics: perSecond('cached GET, one key', 0.8, 1),
  prepare: (stage, options) =>
    readers(stage, options, {
      ids: stage.ids.slice(0, 1),
      peers: { fastify: {}, 'node-http': {}, 'fastify-redis': {}, 'express-redis': {}, 'nest-usual': {} },
    }),
};

const manyKeys = {
  name: 'keys',
  yardstick: 'fastify',
  metrics: perSecond('cached GET, 1,000 keys', 0.75, 0.95),
  prepare: (stage, options) =>
    readers(stage, options, {
      ids: stage.ids.slice(0, KEYS),
      peers: { fastify: {}, 'fastify-redis': {}, 'nest-usual': {} },
    }),
};

const notModified = {
  name: '304',
  yardstick: 'fastify',
  metrics: perSecond('cached GET, answered 304', 0.75, 0.95),
  async prepare(stage, options) {
    const { contestants } = await readers(stage, options, { ids: stage.ids.slice(0, 1), peers: { fastify: {} } });
    const { target } = contestants[1];
    const tag = (await answerOf(target)).headers.get('etag');
    for (const contestant of contestants) contestant.target.headers = { 'If-None-Match': tag };
    deepStrictEqual((await answerOf(target)).status, 304);
    return { contestants };
  },
};

/** As many mobile clients, health checks and scripts do. */
const newConnection = {
  name: 'new-connection',
  yardstick: 'fastify',
  metrics: [
    ...perSecond('cached GET, a new connection for each', 0.85, 1),
    { name: 'the same: p99', value: 'p99', unit: 'ms', must: 1.2, goal: 1, isLowerBetter: true },
  ],
  async prepare(stage, options) {
    const { contestants } = await readers(stage, options, { ids: stage.ids.slice(0, 1), peers: { fastify: {} } });
    for (const { target } of contestants) target.headers = { Connection: 'close' };
    return { contestants };
  },
};

const privateKey = {
  name: 'private',
  yardstick: 'fastify',
  metrics: perSecond('cached GET, private, with a token', 0.35, 0.6),
  async prepare(stage, options) {
    const floodgate = await stage.floodgate();
    const headers = await stage.bearer(floodgate.url);
    const ids = [stage.privateId];
    const theirs = async (name) => {
      const peer = await stage.peer(name, { CONSTANT: stage.privateConstant });
      return loaded(name, { ...peerAt(peer, ids), headers }, options);
    };
    const paths = [`/api/v1/data/bench-private/records/${stage.privateId}`];
    const ours = loaded('floodgate', { url: floodgate.url, paths, headers }, options);
    const contestants = [await theirs('fastify'), ours, await theirs('nest-usual')];
    await assertSame(contestants);
    return { contestants };
  },
};

const uncached = {
  name: 'uncached',
  yardstick: 'fastify-pg',
  metrics: perSecond('uncached GET by id', 1.2, 2.3),
  prepare: (stage, options) =>
    readers(stage, options, {
      ids: stage.ids,
      settings: { CACHE_TTL_MS: '0' },
      peers: { 'fastify-pg': {}, 'nest-usual': { CACHE: 'off' } },
    }),
};

const list = {
  name: 'list',
  yardstick: 'fastify-pg',
  metrics: perSecond('keyset list of 20', 1.2, 2),
  async prepare(stage, options) {
    const moments = Array.from({ length: POSITIONS }, () => momentOf(21 + Math.floor(Math.random() * (RECORDS - 21))));
    const at = ({ url }, path) => ({ url, paths: moments.map((moment) => `${path}?to=${moment}`) });
    const theirPath = `/collections/${stage.collections.bench}/records`;
    const contestants = [
      loaded('fastify-pg', at(await stage.peer('fastify-pg'), theirPath), options),
      loaded('floodgate', at(await stage.floodgate(), '/api/v1/data/bench/records'), options),
      loaded('nest-usual', at(await stage.peer('nest-usual', { CACHE: 'off' }), theirPath), options),
    ];
    await assertSame(contestants, { of: (text) => JSON.stringify(JSON.parse(text).items) });
    return { contestants };
  },
};

/** New records, one a request; before each slice those of the last one are removed. */
const creating = (name, title, must, goal, ours = {}) => ({
  name,
  yardstick: 'fastify-pg',
  metrics: perSecond(title, must, goal),
  async prepare(stage, options) {
    const floodgate = await stage.floodgate();
    const headers = { 'Content-Type': 'application/json', ...(await stage.bearer(floodgate.url)) };
    const request = { method: 'POST', headers, body: JSON.stringify({ data: dataOf(7) }) };
    const theirPaths = [`/collections/${stage.collections['bench-writes']}/records`];
    const theirs = async (peer, environment) =>
      loaded(peer, { ...request, url: (await stage.peer(peer, environment)).url, paths: theirPaths }, options);
    const paths = ['/api/v1/data/bench-writes/records'];
    const target = { ...request, url: floodgate.url, paths, headers: { ...headers, ...ours } };
    const contestants = [await theirs('fastify-pg'), loaded('floodgate', target, options), await theirs('nest-usual')];
    await assertSame(contestants, {
      status: 201,
      of: (text) => JSON.stringify([Object.keys(JSON.parse(text)).sort(), JSON.parse(text).data]),
    });
    return { contestants, before: () => stage.empty('bench-writes'), after: () => stage.empty('bench-writes') };
  },
});

export const loadScenarios = [
  oneKey,
  manyKeys,
  notModified,
  newConnection,
  privateKey,
  uncached,
  list,
  creating('create', 'create one record', 0.7, 1),
  creating('create-once', 'create one record, Idempotency-Key', 0.5, 0.8, { 'Idempotency-Key': NUMBER }),
];
