import { randomUUID } from 'node:crypto';
import type { Client } from '../support/client.js';
import { type Answer, Load } from '../support/load.js';
import { pause } from '../support/process.js';

/** A little more than a batch; most uploads are small. */
const LARGE = 5200;
const UPLOADS = 4;

const isAnswer = ({ status }: Answer) => status !== 0 && status !== 503 && status !== 409;

/**
 * Users who upload records under an Idempotency-Key, at both replicas in turn until there is an answer, then export the whole
 * collection and remove it.
 */
export class Uploads extends Load {
  acknowledged = 0;
  removed = 0;
  private readonly names: string[] = [];

  constructor(
    clients: Client[],
    private readonly elsewhere: (client: Client) => Client,
    private readonly boundMs: number,
  ) {
    super();
    this.lanes = clients.map((client) => this.walk(client));
  }

  /** Ends the load, and compares acknowledged uploads with the table. */
  async settle(query: <Row>(text: string, values: unknown[]) => Promise<Row[]>): Promise<string[]> {
    await this.stop();
    const rows = await query<{ key: string; rows: number; lines: number }>(
      `SELECT data->>'key' AS key, count(*)::int AS rows, count(DISTINCT data->>'line')::int AS lines
       FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = ANY($1) GROUP BY 1`,
      [this.names],
    );
    const found = new Map(rows.map((row) => [row.key, row]));
    for (const { key, rows: there, lines } of rows)
      if (there > lines) this.wrong(`of upload ${key} ${there - lines} lines are there twice`);
    for (const [key, lines] of this.promised) {
      const there = found.get(key)?.lines ?? 0;
      if (there !== lines) this.wrong(`of upload ${key} ${there} lines of ${lines} are there`);
    }
    return this.violations;
  }

  /** The lines of each acknowledged upload to a collection without a request to remove it. */
  private readonly promised = new Map<string, number>();

  private async walk(client: Client): Promise<void> {
    while (!this.isOver) {
      const name = `u-${randomUUID()}`;
      const path = `/api/v1/data/${name}`;
      const made = await this.sure(client, 'PUT', path, { visibility: 'private' });
      if (!made) return;
      // 428: the previous try made it, and its answer was lost.
      if (made.status !== 201 && made.status !== 428) this.wrong(`a new collection was answered with ${made.text}`);
      this.names.push(name);
      // The other replica needs time to hear of it.
      await pause(this.boundMs);
      const done = new Map<string, number>();
      for (let i = 0; i < UPLOADS && !this.isOver; i++) {
        await this.upload(client, path, done);
        await pause(300);
      }
      if (!this.isOver) await this.export(client, path, done);
      if (!this.isOver) await this.remove(client, path, done);
    }
  }

  private async upload(client: Client, path: string, done: Map<string, number>): Promise<void> {
    const key = randomUUID();
    const lines = Math.random() < 0.15 ? LARGE : 1 + Math.floor(Math.random() * 200);
    const isAtomic = Math.random() < 0.3;
    const line = (_: unknown, index: number) => JSON.stringify({ data: { key, line: index } });
    const body = Array.from({ length: lines }, line).join('\n');
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': key };
    const target = `${path}/records/bulk${isAtomic ? '?atomic=true' : ''}`;
    const answer = await this.sure(client, 'POST', target, body, headers, true);
    if (!answer) return;
    if (answer.status !== 200 || answer.body.inserted !== lines || answer.body.failed !== 0)
      return this.wrong(`an upload of ${lines} lines was answered with ${answer.status} ${answer.text}`);
    this.acknowledged++;
    this.promised.set(key, lines);
    done.set(key, lines);
    if (Math.random() > 0.3) return;
    const again = await this.ask(this.elsewhere(client), 'POST', target, body, headers);
    if (isAnswer(again) && (again.status !== 200 || again.text !== answer.text))
      this.wrong(`an upload was answered with ${answer.text}, and again with ${again.status} ${again.text}`);
  }

  /** Expects all acknowledged lines in a complete export. */
  private async export(client: Client, path: string, done: Map<string, number>): Promise<void> {
    const answer = await this.sure(client, 'GET', `${path}/records/export`);
    if (!answer) return;
    if (answer.status !== 200) return this.wrong(`an export was answered with ${answer.status} ${answer.text}`);
    const found = new Map<string, Set<number>>();
    let count = 0;
    for (const line of answer.text.split('\n').filter(Boolean)) {
      const { data } = JSON.parse(line);
      if (!found.has(data.key)) found.set(data.key, new Set());
      found.get(data.key)?.add(data.line);
      count++;
    }
    const lines = [...found.values()].reduce((sum, { size }) => sum + size, 0);
    if (count > lines) this.wrong(`an export has ${count - lines} lines twice`);
    for (const [key, expected] of done) {
      const size = found.get(key)?.size ?? 0;
      if (size !== expected) this.wrong(`an export has ${size} lines of ${expected} of upload ${key}`);
    }
  }

  private async remove(client: Client, path: string, done: Map<string, number>): Promise<void> {
    for (const key of done.keys()) this.promised.delete(key);
    const there = await this.sure(client, 'GET', path);
    if (!there) return;
    const gone = await this.sure(client, 'DELETE', path, undefined, { 'if-match': there.etag });
    if (!gone) return;
    // 404: the previous try did it.
    if (gone.status !== 204 && gone.status !== 404) return this.wrong(`a removal was answered with ${gone.text}`);
    this.removed++;
    for (const [by, waitMs] of [
      [client, 0],
      [this.elsewhere(client), this.boundMs],
    ] as const) {
      await pause(waitMs);
      for (const what of [path, `${path}/records`, `${path}/records/export`]) {
        const answer = await this.ask(by, 'GET', what);
        if (isAnswer(answer) && answer.status !== 404)
          this.wrong(`${what} was answered with ${answer.status} at ${by.url} after its removal`);
      }
    }
  }

  /** Repeats the request until there is an answer: at its own replica, or at both in turn. */
  private async sure(
    client: Client,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    isAnywhere = false,
  ): Promise<Answer | undefined> {
    for (let tries = 0; !this.isOver; tries++) {
      const by = isAnywhere && tries % 2 === 1 ? this.elsewhere(client) : client;
      const answer = await this.ask(by, method, path, body, headers);
      if (isAnswer(answer)) return answer;
      await pause(200);
    }
    return undefined;
  }
}
