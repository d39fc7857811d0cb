import { randomUUID } from 'node:crypto';
import type { Client } from './client.js';
import { type MadeCollection, makeCollection } from './collections.js';
import type { TestDatabase } from './database.js';
import { Load } from './load.js';
import { pause } from './process.js';

export type { Outcome } from './load.js';

/** A record from the view of its writer. */
interface Entry {
  key: string;
  path: string;
  id: string;
  etag: string;
  /** The last acknowledged value, and the last requested one, which may be stored. */
  known: number;
  asked: number;
  removal?: 'asked' | 'acknowledged';
  /** The acknowledged values with their times, which others must see. */
  seen: { at: number; n: number | 'gone' }[];
}

/** A writer's collections. */
export interface OwnSets {
  client: Client;
  sets: { private: MadeCollection; public: MadeCollection };
}

interface Writer extends OwnSets {
  /** A mark in every private record of this writer. */
  mark: string;
  entries: Entry[];
}

interface Options {
  /** The same caller at another process, to which every other retry goes. */
  elsewhere?: (client: Client) => Client;
  /** The pause between an answer and the next request. */
  thinkMs?: number;
  /** Every process shows another's acknowledged writes within this time, or marks its answers as stale. */
  boundMs?: number;
  /** The time for which a change may be invisible at the address where it was made: 0 when that is one process. */
  seenWithinMs?: number;
  /** Is waited for before anything is written to the collections. */
  beforehand?: (owned: OwnSets[]) => Promise<unknown>;
}

const LANES = 2;
/** The number of acknowledged values that are remembered; older ones must be seen everywhere. */
const REMEMBERED = 20;

/**
 * Load that records what was promised to it. Each writer creates, changes, removes and reads records of its own, and
 * reads others' public and private ones; without an answer, or after 5xx, it retries with the same Idempotency-Key.
 * Broken promises are in `violations`, for reads at once, and for writes at the end, after `settle`.
 */
export class Ledger extends Load {
  private constructor(
    private readonly writers: Writer[],
    private readonly options: Required<Options>,
  ) {
    super();
  }

  /** @param clients signed in as different users */
  static async open(clients: Client[], options: Options = {}): Promise<Ledger> {
    const open = async (client: Client): Promise<Writer> => ({
      client,
      mark: `mark-${randomUUID()}`,
      sets: {
        private: await makeCollection(client, 'private', `l-${randomUUID()}`),
        public: await makeCollection(client, 'public', `l-${randomUUID()}`),
      },
      entries: [],
    });
    const defaults = {
      elsewhere: (client: Client) => client,
      thinkMs: 5,
      boundMs: Number.POSITIVE_INFINITY,
      seenWithinMs: 0,
      beforehand: async () => {},
    };
    const ledger = new Ledger(await Promise.all(clients.map(open)), { ...defaults, ...options });
    await ledger.options.beforehand(ledger.writers);
    ledger.lanes = ledger.writers.flatMap((writer) => Array.from({ length: LANES }, () => ledger.walk(writer)));
    return ledger;
  }

  /** The number of acknowledged writes so far. */
  get acknowledged(): number {
    return this.writers.reduce((sum, { entries }) => sum + entries.length, 0);
  }

  /** The last version of each record of a collection, once nothing is written; 0 for one that was removed. */
  async versionsOf(
    { name, records }: MadeCollection,
    database: Pick<TestDatabase, 'query'>,
  ): Promise<Map<string, number>> {
    const rows = await database.query<{ id: string; version: number }>(
      'SELECT r.id, r.version FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1',
      [name],
    );
    const entries = this.writers.flatMap(({ entries }) => entries).filter(({ path }) => path.startsWith(records));
    return new Map([
      ...entries.map(({ id }): [string, number] => [id, 0]),
      ...rows.map(({ id, version }): [string, number] => [id, version]),
    ]);
  }

  /** Ends the load, and compares acknowledged writes with the tables. @returns the violations */
  async settle(database: Pick<TestDatabase, 'query'>): Promise<string[]> {
    await this.stop();
    const sets = this.writers.flatMap(({ sets }) => [sets.private.name, sets.public.name]);
    const rows = await database.query<{ id: string; key: string; n: number }>(
      `SELECT r.id, r.data->>'key' AS key, (r.data->>'n')::int AS n
       FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = ANY($1)`,
      [sets],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    const keys = new Set<string>();
    for (const { key } of rows) {
      if (keys.has(key)) this.wrong(`${key} is there twice`);
      keys.add(key);
    }
    for (const { entries } of this.writers) {
      for (const { id, key, known, asked, removal } of entries) {
        const row = byId.get(id);
        if (!row) {
          if (!removal) this.wrong(`${key}, acknowledged as ${id}, is missing`);
        } else if (removal === 'acknowledged') this.wrong(`${key} was removed and is there`);
        else if (row.n < known || row.n > asked) {
          this.wrong(`${key} is ${row.n}, acknowledged as ${known} and asked to be ${asked}`);
        }
      }
    }
    return this.violations;
  }

  private async walk(writer: Writer): Promise<void> {
    // A lane has its own records, so that nothing else changes them.
    const own: Entry[] = [];
    while (!this.isOver) {
      // Mostly a late one, so that changes of one record follow each other closely.
      const entry = own.at(-1 - Math.floor(own.length * Math.random() ** 4));
      const dice = Math.random();
      if (!entry || dice < 0.2) await this.create(writer, own);
      else if (dice < 0.4) await this.change(writer, entry);
      else if (dice < 0.45) await this.remove(writer, entry, own);
      else if (dice < 0.65) await this.look(writer, entry);
      else if (dice < 0.85) await this.lookAtOthers(writer);
      else await this.list(writer);
      await pause(this.options.thinkMs);
    }
  }

  private async create({ client, sets, mark, entries }: Writer, own: Entry[]): Promise<void> {
    const visibility = Math.random() < 0.5 ? 'private' : 'public';
    const key = randomUUID();
    const data = { key, n: 0, ...(visibility === 'private' ? { mark } : {}) };
    const path = sets[visibility].records;
    for (let tries = 0; tries < 20 && !(tries > 0 && this.isOver); tries++) {
      const by = tries % 2 === 0 ? client : this.options.elsewhere(client);
      const { status, body, etag } = await this.ask(by, 'POST', path, { data }, { 'idempotency-key': key });
      if (status === 201) {
        const seen = [{ at: Date.now(), n: 0 }];
        const entry: Entry = { key, id: body.id, path: `${path}/${body.id}`, etag, known: 0, asked: 0, seen };
        own.push(entry);
        entries.push(entry);
      }
      // 409: the first try is still running.
      if (status !== 0 && status < 500 && status !== 409 && status !== 429) return;
      await pause(100);
    }
  }

  private async change({ client }: Writer, entry: Entry): Promise<void> {
    if (entry.etag === '') return;
    const n = entry.asked + 1;
    entry.asked = n;
    const { status, etag } = await this.ask(client, 'PATCH', entry.path, { data: { n } }, { 'if-match': entry.etag });
    if (status === 200) {
      Object.assign(entry, { known: n, etag });
      note(entry, n);
    }
    // A read must show first whether it was done.
    else if (status === 0 || status >= 500 || status === 412) entry.etag = '';
  }

  private async remove({ client }: Writer, entry: Entry, own: Entry[]): Promise<void> {
    if (entry.etag === '') return;
    own.splice(own.indexOf(entry), 1);
    entry.removal = 'asked';
    const { status } = await this.ask(client, 'DELETE', entry.path, undefined, { 'if-match': entry.etag });
    if (status === 204) {
      entry.removal = 'acknowledged';
      note(entry, 'gone');
    } else if (status > 0 && status < 500) entry.removal = undefined;
  }

  private async look({ client }: Writer, entry: Entry): Promise<void> {
    const { known, asked } = entry;
    const isDue = Date.now() - (entry.seen.at(-1)?.at ?? 0) >= this.options.seenWithinMs;
    const { status, body, etag } = await this.ask(client, 'GET', entry.path);
    if (status === 404) this.wrong(`${entry.key} is not found by its writer`);
    if (status !== 200) return;
    const { n, key } = body.data;
    if (key !== entry.key) this.wrong(`${entry.key} is answered with ${key}`);
    if (n < known && isDue) this.wrong(`${entry.key} was ${known} and is ${n} to its writer`);
    if (n > asked) this.wrong(`${entry.key} is ${n} to its writer, who asked for ${asked}`);
    if (entry.etag === '') Object.assign(entry, { etag, known: Math.max(known, n) });
  }

  /** Reads another user's record, public or private, with and without a token. */
  private async lookAtOthers(writer: Writer): Promise<void> {
    const others = this.writers.filter((other) => other !== writer);
    const other = others[Math.floor(Math.random() * others.length)];
    const entry = other?.entries[Math.floor(Math.random() * other.entries.length)];
    if (!other || !entry) return;
    const isPublic = entry.path.startsWith(`${other.sets.public.path}/`);
    const { seenWithinMs, boundMs } = this.options;
    const due = this.due(entry, writer.client.url === other.client.url ? seenWithinMs : boundMs);
    const answer = await this.ask(writer.client, 'GET', entry.path, undefined, {}, Math.random() < 0.5);
    const { status, body, text } = answer;
    if (text.includes(other.mark)) this.wrong(`${entry.path}: another one's mark in ${text}`);
    if (status === 200 && !isPublic) this.wrong(`${entry.path} is private and was answered with ${text}`);
    if (status === 404 && isPublic && due !== undefined && !entry.removal) this.wrong(`${entry.path} is not found`);
    if (status !== 200) return;
    const { key, n } = body.data;
    if (key !== entry.key) this.wrong(`${entry.key} is answered with ${key}`);
    if (n > entry.asked) this.wrong(`${entry.key} is ${n}, asked to be ${entry.asked}`);
    const isMarked = answer.headers['cache-status'] !== undefined;
    if (due !== undefined && (due === 'gone' || n < due) && !isMarked)
      this.wrong(`${entry.path} is ${n} at ${writer.client.url} and was ${due} at ${other.client.url} before`);
  }

  /** The value that was acknowledged before the bound, if it is known: it, or a later one, must be seen. */
  private due({ seen }: Entry, boundMs: number): number | 'gone' | undefined {
    const until = Date.now() - boundMs;
    return seen.findLast(({ at }) => at <= until)?.n;
  }

  private async list(writer: Writer): Promise<void> {
    const { status, body, text } = await this.ask(writer.client, 'GET', `${writer.sets.private.records}?limit=20`);
    if (status !== 200) return;
    const isOwn = body.items.every(({ data }: { data: { mark?: string } }) => data.mark === writer.mark);
    if (!isOwn) this.wrong(`another one's record in ${text}`);
  }
}

function note({ seen }: Entry, n: number | 'gone'): void {
  seen.push({ at: Date.now(), n });
  if (seen.length > REMEMBERED) seen.shift();
}
