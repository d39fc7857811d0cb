import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Client } from './client.js';
import { type MadeCollection, makeCollection } from './collections.js';
import type { TestDatabase } from './database.js';
import { pause } from './process.js';

/** An answer, or that none came: then the status is 0. */
export interface Outcome {
  /** When it was asked, as Date.now() says. */
  at: number;
  ms: number;
  what: string;
  status: number;
}

/** A record as its writer knows it. */
interface Entry {
  key: string;
  path: string;
  id: string;
  etag: string;
  /** The last value that was acknowledged, and the last that was asked for and may be there. */
  known: number;
  asked: number;
  /** When it was last acknowledged, as Date.now() says. */
  knownAt: number;
  removal?: 'asked' | 'acknowledged';
}

interface Writer {
  client: Client;
  /** Stands in every private record of this writer. */
  mark: string;
  sets: { private: MadeCollection; public: MadeCollection };
  entries: Entry[];
}

interface Answer {
  status: number;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is expected of it is checked where it is read
  body: any;
  etag: string;
}

const NONE: Answer = { status: 0, text: '', body: undefined, etag: '' };
const THINK_MS = 5;
const LANES = 2;

/**
 * Load that knows what was promised to it. Each writer creates, changes, removes and reads records of its own, and
 * reads others' public and private ones; what has no answer, or 5xx, it tries again with the same Idempotency-Key.
 * What is not as promised stands in `violations`, at once for reads, and at the end, by `settle`, for writes.
 */
export class Ledger {
  readonly outcomes: Outcome[] = [];
  readonly violations: string[] = [];
  private readonly agent = new Agent({ keepAlive: true });
  private lanes: Promise<void>[] = [];
  private isOver = false;

  private constructor(
    private readonly writers: Writer[],
    private readonly random: () => number,
    private readonly seenWithinMs: number,
  ) {}

  /**
   * @param clients signed in, each of another user
   * @param seenWithinMs how long writers may not see their own change: not at all where they stay with one process
   */
  static async open(clients: Client[], random: () => number = Math.random, seenWithinMs = 0): Promise<Ledger> {
    const open = async (client: Client): Promise<Writer> => ({
      client,
      mark: `mark-${randomUUID()}`,
      sets: {
        private: await makeCollection(client, 'private', `l-${randomUUID()}`),
        public: await makeCollection(client, 'public', `l-${randomUUID()}`),
      },
      entries: [],
    });
    const ledger = new Ledger(await Promise.all(clients.map(open)), random, seenWithinMs);
    ledger.lanes = ledger.writers.flatMap((writer) => Array.from({ length: LANES }, () => ledger.walk(writer)));
    return ledger;
  }

  /** How many answers of that kind there were between two times. */
  count(of: (outcome: Outcome) => boolean, from = 0, to = Number.POSITIVE_INFINITY): number {
    return this.outcomes.filter((outcome) => outcome.at >= from && outcome.at < to && of(outcome)).length;
  }
  /** How long the answers took that were asked for between two times, milliseconds. */
  times(from = 0, to = Number.POSITIVE_INFINITY): number[] {
    return this.outcomes.filter(({ at, status }) => at >= from && at < to && status > 0).map(({ ms }) => ms);
  }
  /** Acknowledged so far. */
  get acknowledged(): number {
    return this.writers.reduce((sum, { entries }) => sum + entries.length, 0);
  }

  /** Ends the load, and compares what was acknowledged with what is there. @returns the violations */
  async settle(database: Pick<TestDatabase, 'query'>): Promise<string[]> {
    this.isOver = true;
    await Promise.all(this.lanes);
    this.agent.destroy();
    const sets = this.writers.flatMap(({ sets }) => [sets.private.name, sets.public.name]);
    const rows = await database.query<{ id: string; key: string; n: number }>(
      `SELECT r.id, r.data->>'key' AS key, (r.data->>'n')::int AS n
       FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = ANY($1)`,
      [sets],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    const keys = new Set<string>();
    for (const { key } of rows) {
      if (keys.has(key)) this.violations.push(`${key} is there twice`);
      keys.add(key);
    }
    for (const { entries } of this.writers) {
      for (const { id, key, known, asked, removal } of entries) {
        const row = byId.get(id);
        if (!row) {
          if (!removal) this.violations.push(`${key}, acknowledged as ${id}, is missing`);
        } else if (removal === 'acknowledged') this.violations.push(`${key} was removed and is there`);
        else if (row.n < known || row.n > asked) {
          this.violations.push(`${key} is ${row.n}, acknowledged as ${known} and asked to be ${asked}`);
        }
      }
    }
    return this.violations;
  }

  private async walk(writer: Writer): Promise<void> {
    // A lane has records of its own, so that nobody else changes them.
    const own: Entry[] = [];
    while (!this.isOver) {
      const entry = own[Math.floor(this.random() * own.length)];
      const dice = this.random();
      if (!entry || dice < 0.2) await this.create(writer, own);
      else if (dice < 0.4) await this.change(writer, entry);
      else if (dice < 0.45) await this.remove(writer, entry, own);
      else if (dice < 0.65) await this.look(writer, entry);
      else if (dice < 0.85) await this.lookAtOthers(writer);
      else await this.list(writer);
      await pause(THINK_MS);
    }
  }

  private async create({ client, sets, mark, entries }: Writer, own: Entry[]): Promise<void> {
    const visibility = this.random() < 0.5 ? 'private' : 'public';
    const key = randomUUID();
    const data = { key, n: 0, ...(visibility === 'private' ? { mark } : {}) };
    const path = sets[visibility].records;
    for (let tries = 0; tries < 20 && !(tries > 0 && this.isOver); tries++) {
      const { status, body, etag } = await this.ask(client, 'POST', path, { data }, { 'idempotency-key': key });
      if (status === 201) {
        const at = { id: body.id, path: `${path}/${body.id}`, etag };
        const entry: Entry = { key, ...at, known: 0, asked: 0, knownAt: Date.now() };
        own.push(entry);
        entries.push(entry);
      }
      // 409: the first try is under way still.
      if (status !== 0 && status < 500 && status !== 409 && status !== 429) return;
      await pause(100);
    }
  }

  private async change({ client }: Writer, entry: Entry): Promise<void> {
    if (entry.etag === '') return;
    const n = entry.asked + 1;
    entry.asked = n;
    const { status, etag } = await this.ask(client, 'PATCH', entry.path, { data: { n } }, { 'if-match': entry.etag });
    if (status === 200) Object.assign(entry, { known: n, etag, knownAt: Date.now() });
    // Whether it was done is to be read first.
    else if (status === 0 || status >= 500 || status === 412) entry.etag = '';
  }

  private async remove({ client }: Writer, entry: Entry, own: Entry[]): Promise<void> {
    if (entry.etag === '') return;
    own.splice(own.indexOf(entry), 1);
    entry.removal = 'asked';
    const { status } = await this.ask(client, 'DELETE', entry.path, undefined, { 'if-match': entry.etag });
    if (status === 204) entry.removal = 'acknowledged';
    else if (status > 0 && status < 500) entry.removal = undefined;
  }

  private async look({ client }: Writer, entry: Entry): Promise<void> {
    const { known, asked } = entry;
    const isDue = Date.now() - entry.knownAt >= this.seenWithinMs;
    const { status, body, etag } = await this.ask(client, 'GET', entry.path);
    if (status === 404) this.violations.push(`${entry.key} is not found by its writer`);
    if (status !== 200) return;
    const { n, key } = body.data;
    if (key !== entry.key) this.violations.push(`${entry.key} is answered with ${key}`);
    if (n < known && isDue) this.violations.push(`${entry.key} was ${known} and is ${n} to its writer`);
    if (n > asked) this.violations.push(`${entry.key} is ${n} to its writer, who asked for ${asked}`);
    if (entry.etag === '') Object.assign(entry, { etag, known: Math.max(known, n) });
  }

  /** Somebody else's record, public or private, with and without a token. */
  private async lookAtOthers(writer: Writer): Promise<void> {
    const others = this.writers.filter((other) => other !== writer);
    const other = others[Math.floor(this.random() * others.length)];
    const entry = other?.entries[Math.floor(this.random() * other.entries.length)];
    if (!other || !entry) return;
    const isPublic = entry.path.startsWith(`${other.sets.public.path}/`);
    const { asked } = entry;
    const { status, body, text } = await this.ask(writer.client, 'GET', entry.path, undefined, {}, this.random() < 0.5);
    if (text.includes(other.mark)) this.violations.push(`${entry.path}: another one's mark in ${text}`);
    if (status === 200 && !isPublic) this.violations.push(`${entry.path} is private and was answered with ${text}`);
    if (status !== 200) return;
    if (body.data.key !== entry.key) this.violations.push(`${entry.key} is answered with ${body.data.key}`);
    if (body.data.n > entry.asked) this.violations.push(`${entry.key} is ${body.data.n}, asked to be ${asked}`);
  }

  private async list(writer: Writer): Promise<void> {
    const { status, body, text } = await this.ask(writer.client, 'GET', `${writer.sets.private.records}?limit=20`);
    if (status !== 200) return;
    const isOwn = body.items.every(({ data }: { data: { mark?: string } }) => data.mark === writer.mark);
    if (!isOwn) this.violations.push(`another one's record in ${text}`);
  }

  private async ask(
    client: Client,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    isAnonymous = false,
  ): Promise<Answer> {
    const at = Date.now();
    const begun = performance.now();
    const sent = request(client.url + path, {
      agent: this.agent,
      method,
      headers: {
        ...(isAnonymous ? {} : { authorization: `Bearer ${client.tokens?.accessToken}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    const answer = await answerOf(sent.end(body === undefined ? undefined : JSON.stringify(body))).catch(() => NONE);
    const what = `${method} ${path.replaceAll(/[0-9a-f-]{36}/g, '…')}`;
    this.outcomes.push({ at, ms: performance.now() - begun, what, status: answer.status });
    if (answer.status === 500) this.violations.push(`${what} was answered with 500: ${answer.text}`);
    return answer;
  }
}

async function answerOf(sent: ReturnType<typeof request>): Promise<Answer> {
  const [response]: [IncomingMessage] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  const isJson = /[/+]json/.test(response.headers['content-type'] ?? '');
  return {
    status: response.statusCode ?? 0,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
    etag: response.headers.etag ?? '',
  };
}
