import { randomUUID } from 'node:crypto';
import type { Client } from '../support/client.js';
import { Follower } from '../support/follower.js';
import { type Answer, Load } from '../support/load.js';
import { pause } from '../support/process.js';

/** The time within which a stream ends when its listener loses the right to read. */
const UNHEARD_MS = 5000;
/** The time within which an owner hears of a change, whatever happens. */
const HEARD_MS = 30_000;

const isAnswer = ({ status }: Answer) => status !== 0 && status !== 503;

/** A reader: another user, or an anonymous one. */
type Stranger = { client: Client; isAnonymous: boolean };

/**
 * Owners who make a collection public and private in turn and remove it, after which another user takes its name. Nobody else may see
 * a private collection: at once where it was changed, and within the bound elsewhere. Nor may those who listened before be told more.
 */
export class Sets extends Load {
  changes = 0;
  /** Listeners who were told of a change while the collection was public, and of none when it was private. */
  unheard = 0;

  constructor(
    pairs: [owner: Client, heir: Client][],
    private readonly elsewhere: (client: Client) => Client,
    private readonly boundMs: number,
  ) {
    super();
    this.lanes = pairs.map((pair) => this.walk(...pair));
  }

  private async walk(owner: Client, heir: Client): Promise<void> {
    while (!this.isOver) {
      const path = `/api/v1/data/s-${randomUUID()}`;
      const mark = `mark-${randomUUID()}`;
      let etag = await this.become(owner, path, 'public', mark);
      const at = (...clients: Client[]) => new Follower(clients, `${path}/changes`, clients[0] === heir);
      const own = at(owner, this.elsewhere(owner));
      const others = [at(heir), at(this.elsewhere(heir))];
      const record = await this.create(owner, path, mark);
      if (!record) return this.end(own, ...others);
      const paths = [path, `${path}/records`, `${path}/records/${record}`];
      await pause(this.boundMs);
      const heard = await this.create(owner, path, mark);
      if (!heard) return this.end(own, ...others);
      await this.look(heir, paths, mark, true);
      for (let turn = 0; turn < 3 && !this.isOver; turn++) {
        const isPublic = turn % 2 === 1;
        etag = await this.become(owner, path, isPublic ? 'public' : 'private', mark, etag);
        if (etag === undefined) return this.end(own, ...others);
        await this.look(heir, paths, mark, isPublic);
      }
      if (!this.isOver) await this.whisper(owner, path, mark, heard, own, others);
      await this.end(own, ...others);
      const gone = await this.sure(owner, 'DELETE', path, undefined, { 'if-match': etag as string });
      if (!gone) return;
      if (gone.status !== 204 && gone.status !== 404) this.wrong(`a removal was answered with ${gone.text}`);
      this.changes++;
      await this.inherit(owner, heir, path, paths, mark);
    }
  }

  /** Writes to the private collection when no stream of others may be open any more: its owner is told, and nobody else. */
  private async whisper(
    owner: Client,
    path: string,
    mark: string,
    heard: string,
    own: Follower,
    others: Follower[],
  ): Promise<void> {
    // The look before took the rest of this time.
    await pause(UNHEARD_MS - this.boundMs);
    const id = await this.create(owner, path, mark);
    if (!id) return;
    const written = Date.now();
    while (!own.seen.has(id) && !this.isOver) {
      if (Date.now() > written + HEARD_MS) return this.wrong(`its owner has not heard of ${path}/records/${id}`);
      await pause(50);
    }
    await pause(this.boundMs);
    for (const { seen } of others) {
      if (seen.has(id)) this.wrong(`${path} is private, and another one was told of ${id}`);
      else if (seen.has(heard)) this.unheard++;
    }
  }

  private async end(...followers: Follower[]): Promise<void> {
    await Promise.all(followers.map((one) => one.stop()));
  }

  /** @returns the new record's id, or undefined when there is no time left */
  private async create(owner: Client, path: string, mark: string): Promise<string | undefined> {
    const headers = { 'idempotency-key': randomUUID() };
    const record = await this.sure(owner, 'POST', `${path}/records`, { data: { mark } }, headers);
    if (record && record.status !== 201) this.wrong(`a record was answered with ${record.status} ${record.text}`);
    return record?.body?.id;
  }

  /** Another user takes the name, under which nothing old may be left. */
  private async inherit(owner: Client, heir: Client, path: string, paths: string[], mark: string): Promise<void> {
    const taken = await this.become(heir, path, 'private', mark);
    if (taken === undefined) return;
    await pause(this.boundMs);
    const list = await this.ask(heir, 'GET', `${path}/records`);
    if (list.status === 200 && list.body.items.length > 0) this.wrong(`a new collection has ${list.text}`);
    for (const what of paths) {
      const answer = await this.ask(owner, 'GET', what);
      if (isAnswer(answer) && answer.status !== 404)
        this.wrong(`${what} is another one's, and was answered with ${answer.text}`);
    }
    await this.sure(heir, 'DELETE', path, undefined, { 'if-match': taken });
  }

  /** Makes or changes the collection until it has this visibility. @returns its tag, or undefined when there is no time left */
  private async become(
    by: Client,
    path: string,
    visibility: string,
    mark: string,
    etag?: string,
  ): Promise<string | undefined> {
    let known = etag;
    while (!this.isOver) {
      const headers: Record<string, string> = known === undefined ? {} : { 'if-match': known };
      const answer = await this.ask(by, 'PUT', path, { visibility, description: mark }, headers);
      if (answer.status === 200 || answer.status === 201) {
        this.changes++;
        return answer.etag;
      }
      if (isAnswer(answer) && answer.status !== 412 && answer.status !== 428)
        this.wrong(`PUT ${path} was answered with ${answer.status} ${answer.text}`);
      await pause(100);
      // An earlier try without an answer may have done it.
      const now = await this.sure(by, 'GET', path);
      if (now?.status === 200) known = now.etag;
    }
    return undefined;
  }

  private async look(heir: Client, paths: string[], mark: string, isPublic: boolean): Promise<void> {
    // The heir uses a different replica from the owner.
    const near = this.elsewhere(heir);
    const changed = Date.now();
    const strangers: Stranger[] = [
      { client: near, isAnonymous: true },
      { client: near, isAnonymous: false },
    ];
    await this.lookAs(strangers, paths, mark, isPublic, changed);
    await pause(this.boundMs);
    await this.lookAs(
      strangers.map(({ isAnonymous }) => ({ client: heir, isAnonymous })),
      paths,
      mark,
      isPublic,
      changed,
    );
  }

  private async lookAs(
    strangers: Stranger[],
    paths: string[],
    mark: string,
    isPublic: boolean,
    changed: number,
  ): Promise<void> {
    for (const { client, isAnonymous } of strangers)
      for (const path of paths) {
        const answer = await this.ask(client, 'GET', path, undefined, {}, isAnonymous);
        if (!isAnswer(answer) || (isPublic && answer.headers['cache-status'])) continue;
        const who = `${isAnonymous ? 'anybody' : 'another one'} at ${client.url} after ${Date.now() - changed} ms`;
        if (isPublic && answer.status !== 200) this.wrong(`${path} is public, and ${who} got ${answer.status}`);
        if (!isPublic && (answer.status !== 404 || answer.text.includes(mark)))
          this.wrong(
            `${path} is private, and ${who} got ${answer.status} ${answer.etag} ${answer.headers['cache-status'] ?? ''}`,
          );
      }
  }

  private async sure(
    client: Client,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer | undefined> {
    while (!this.isOver) {
      const answer = await this.ask(client, method, path, body, headers);
      // 409 to a request with an Idempotency-Key: the previous try is still running.
      if (isAnswer(answer) && !(method === 'POST' && answer.status === 409)) return answer;
      await pause(100);
    }
    return undefined;
  }
}
