// What a scenario is played on: a database with 100,000 records, Redis, and servers that are started when first asked for.
import pg from 'pg';
import { ADMIN, startFloodgate, startPeer, startPostgres, startRedis } from './servers.mjs';

export const RECORDS = 100_000;
const BEGIN = Date.UTC(2026, 0, 1);
const TOKEN_LIFE_MS = 60_000;

/** A record's `data`, different for each number and like a flight's delay in minutes and distance in miles. */
export const dataOf = (n) => ({ delay: n % 300, distance: 100 + (n % 2500) });
/** A moment for each number, one second apart. */
export const momentOf = (n) => new Date(BEGIN + n * 1000).toISOString();
export const lineOf = (n) => JSON.stringify({ data: dataOf(n), occurredAt: momentOf(n) });

export class Stage {
  /** Servers of the scenario that is on. */
  #servers = [];
  /** By the address of whom they are. */
  #tokens = new Map();

  constructor(databaseUrl, redisUrl, client) {
    this.databaseUrl = databaseUrl;
    this.redisUrl = redisUrl;
    this.client = client;
  }

  static async open() {
    const [databaseUrl, redisUrl] = await Promise.all([startPostgres(), startRedis()]);
    const stage = new Stage(databaseUrl, redisUrl, await connect(databaseUrl));
    await stage.#fill();
    return stage;
  }

  /** @returns rows */
  async sql(text, values) {
    return (await this.client.query(text, values)).rows;
  }

  async #fill() {
    const { url } = await this.floodgate({ MIGRATE_ON_START: 'true' });
    for (const [name, visibility] of [
      ['bench', 'public'],
      ['bench-private', 'private'],
      ['bench-writes', 'private'],
      ['bench-export', 'public'],
    ]) {
      await this.api(url, 'PUT', `/api/v1/data/${name}`, JSON.stringify({ visibility }));
    }
    const lines = Array.from({ length: RECORDS }, (_, n) => lineOf(n)).join('\n');
    await this.api(url, 'POST', '/api/v1/data/bench/records/bulk', lines, 'application/x-ndjson');
    await this.api(url, 'POST', '/api/v1/data/bench-private/records', lineOf(0));
    await this.sql('VACUUM ANALYZE');
    const collections = await this.sql('SELECT name, id FROM collections');
    /** Ids of the collections, by name. */
    this.collections = Object.fromEntries(collections.map(({ name, id }) => [name, id]));
    const idsOf = async (name) => {
      const rows = await this.sql('SELECT id FROM records WHERE collection_id = $1', [this.collections[name]]);
      return rows.map(({ id }) => id);
    };
    /** Ids of all public records, in no order. */
    this.ids = shuffle(await idsOf('bench'));
    [this.privateId] = await idsOf('bench-private');
    this.constant = await (await fetch(`${url}${this.path()}`)).text();
    this.privateConstant = await (
      await fetch(`${url}/api/v1/data/bench-private/records/${this.privateId}`, { headers: await this.bearer(url) })
    ).text();
    this.jwks = await (await fetch(`${url}/.well-known/jwks.json`)).text();
    await this.clear();
  }

  /** Floodgate's path of a public record. */
  path(id = this.ids[0]) {
    return `/api/v1/data/bench/records/${id}`;
  }

  async floodgate(settings = {}, options = {}) {
    const environment = { DATABASE_URL: this.databaseUrl, REDIS_URL: this.redisUrl, ...settings };
    return this.#keep(await startFloodgate(environment, options));
  }

  /** @param path what it answers with 200 when it has started */
  async peer(name, settings = {}, path = `/records/${this.ids[0]}`) {
    const { databaseUrl: DATABASE_URL, redisUrl: REDIS_URL, constant: CONSTANT, jwks: JWKS } = this;
    const environment = { DATABASE_URL, REDIS_URL, CONSTANT, JWKS, ...settings };
    return this.#keep(await startPeer(name, environment, path));
  }

  #keep(server) {
    this.#servers.push(server);
    return server;
  }

  /** Ends all servers but PostgreSQL and Redis. */
  async clear() {
    await Promise.all(this.#servers.splice(0).map((server) => server.stop()));
  }

  /** Headers with an access token that is good for some minutes more. */
  async bearer(url, { email, password } = ADMIN) {
    const known = this.#tokens.get(email);
    if (known?.until > Date.now()) return known.headers;
    const body = JSON.stringify({ email, password });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${url}/api/v1/auth/login`, { method: 'POST', headers, body });
    const { accessToken } = await answer.json();
    const made = { headers: { authorization: `Bearer ${accessToken}` }, until: Date.now() + TOKEN_LIFE_MS };
    this.#tokens.set(email, made);
    return made.headers;
  }

  async api(url, method, path, body, type = 'application/json') {
    const headers = { 'content-type': type, ...(await this.bearer(url)) };
    const response = await fetch(url + path, { method, headers, body });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Makes a collection empty again, and its pages free, with nothing left to be written behind. */
  async empty(name) {
    await this.sql('DELETE FROM records WHERE collection_id = $1', [this.collections[name]]);
    await this.sql('TRUNCATE idempotency_keys');
    await this.sql('VACUUM records');
    await this.sql('CHECKPOINT');
  }
}

/** @returns a client of pg */
export async function connect(connectionString) {
  const client = new pg.Client({ connectionString });
  // When PostgreSQL is stopped first, this connection ends too.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Fisher and Yates'. */
export function shuffle(items) {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
