import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Database } from '../database/database.js';
import { preferred } from '../http/accept.js';
import { Answer } from '../http/answer.js';
import { NDJSON } from '../http/body.js';
import { nextLink } from '../http/next-link.js';
import { invalid } from '../http/problem.js';
import { forgetHead } from '../http/response.js';
import { LastingRequests } from '../http/while-allowed.js';
import { Throttle } from '../throttle/throttle.js';
import { type Asked, EVENT_STREAM } from './asked.js';
import { type Change, type Conditions, Feed, type FeedTable, type Source } from './feed.js';
import { type Batch, eventsOf, Listener } from './listener.js';
import { Listeners } from './listeners.js';
import { LiveFeed } from './live-feed.js';
import { at, type Position, readPosition, writePosition } from './position.js';
import { Ticks } from './ticks.js';

/** For how long changes are looked for that a filter lets through. */
const SEEK_MS = 1000;
const NOT_STORED = { 'cache-control': 'no-store' };
/** Says to nginx that it should pass each event on at once. */
const UNBUFFERED = { 'x-accel-buffering': 'no' };

/** Makes feeds of tables, and answers their readers: by a stream of server-sent events, or by lines, at once or after a wait. */
@Injectable()
export class Feeds {
  constructor(
    private readonly database: Database,
    private readonly ticks: Ticks,
    private readonly listeners: Listeners,
    private readonly throttle: Throttle,
    private readonly lasting: LastingRequests,
  ) {}

  of(table: FeedTable, lists: Conditions): LiveFeed {
    return new LiveFeed(new Feed(table, lists, this.database), this.ticks);
  }

  /**
   * @param allowed is aborted, with the problem, when the caller may read no more
   * @throws Problem invalid-request for a position that is none, quota-exceeded and temporary-reduced-capacity for a
   *   stream for which there is no room
   */
  async answer(live: LiveFeed, source: Source, asked: Asked, request: FastifyRequest, allowed: AbortSignal) {
    const { 'last-event-id': lastId = asked.after } = request.headers;
    const after = lastId?.toString();
    const from = after === undefined ? at(await this.ticks.now()) : readPosition(after);
    if (!from) throw invalid('Last-Event-ID is not the id of a change.');
    if (preferred(request.headers.accept, [NDJSON, EVENT_STREAM]) !== EVENT_STREAM)
      return this.lines(live, source, from, asked.wait, request, allowed);
    const caller = request.caller?.id ?? this.throttle.addressOf(request.raw);
    await live.check(source, from);
    return new EventStream((reply) => this.open(live, source, from, reply, caller, allowed));
  }

  private async lines(
    live: LiveFeed,
    source: Source,
    from: Position,
    wait: number,
    request: FastifyRequest,
    allowed: AbortSignal,
  ): Promise<Answer> {
    const [now, until] = [await this.ticks.now(), performance.now() + SEEK_MS];
    let found = await live.next(source, from, now);
    // An answer without changes says that there are no more, so that the ticks of others' changes are passed over.
    while (found.changes.length === 0 && found.position.after !== now && performance.now() < until)
      found = await live.next(source, found.position, now);
    if (found.changes.length === 0 && found.position.after === now && wait > 0) {
      await live.check(source, found.position);
      const waited = firstOf(live, source, found.position, wait, request, allowed);
      // Its place in admission is for others; what comes then is little work, for many at once.
      request.raw.place?.answered();
      found = await waited;
    }
    await this.lasting.confirm(allowed);
    const text = found.changes
      .map(({ id, kind, json }) => `{"id":"${id}","event":"${kind}","data":${json}}\n`)
      .join('');
    return new Answer(text, {
      type: NDJSON,
      headers: { ...NOT_STORED, link: nextLink(request.url, 'after', writePosition(found.position)) },
    });
  }

  /**
   * Takes the place of a listener at once, since others come meanwhile.
   * @returns what begins the stream, after its head
   */
  private open(
    live: LiveFeed,
    source: Source,
    from: Position,
    { raw, request }: FastifyReply,
    caller: string,
    allowed: AbortSignal,
  ): () => void {
    const listener = new Listener(raw, live, allowed);
    this.listeners.add(listener, caller);
    raw.once('close', () => this.listeners.remove(listener));
    return () => {
      listener.send(eventsOf(`id: ${writePosition(from)}\n\n`));
      const following = live.follow(source, from, listener).catch((error: Error) => {
        request.log.warn(`A stream of changes was ended: ${error.message}`);
        listener.sendAway();
      });
      void following.then((group) => {
        listener.hasCaughtUp = group !== undefined;
      });
      raw.once('close', () => void following.then((group) => group && live.leave(group, listener)));
    };
  }
}

/** The first changes behind a position, or none if there are none in time. */
function firstOf(
  live: LiveFeed,
  source: Source,
  from: Position,
  wait: number,
  { raw }: FastifyRequest,
  allowed: AbortSignal,
): Promise<{ changes: Change[]; position: Position }> {
  return new Promise((resolve, reject) => {
    let isOpen = true;
    const end = (changes: Change[]) => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      raw.socket.off('close', endNow);
      const last = changes.at(-1);
      resolve({ changes, position: (last && readPosition(last.id)) ?? from });
      void following.then((group) => group && live.leave(group, reader));
    };
    const endNow = () => end([]);
    const timer = setTimeout(endNow, wait);
    raw.socket.once('close', endNow);
    allowed.addEventListener('abort', endNow, { once: true });
    if (allowed.aborted) endNow();
    const reader = {
      get isOpen() {
        return isOpen;
      },
      take: ({ changes }: Batch) => end(changes),
      drained: () => undefined,
    };
    const following = live.follow(source, from, reader).catch(reject);
  });
}

/** The answer to a listener: its head, and then events for as long as both want. */
class EventStream extends Answer {
  constructor(private readonly open: (reply: FastifyReply) => () => void) {
    super('');
  }

  /** @throws Problem when there is no room */
  override send(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { raw } = reply;
    // Of a caller who has left meanwhile, no event would tell that the place is free.
    const begin = request.method === 'HEAD' || raw.closed ? undefined : this.open(reply);
    reply.hijack();
    const head = { ...reply.getHeaders(), ...NOT_STORED, ...UNBUFFERED, 'content-type': EVENT_STREAM };
    raw.writeHead(200, head as Record<string, string>);
    if (!begin) raw.end();
    else {
      raw.flushHeaders();
      forgetHead(raw);
      // Listening is no work; its place in admission is for others.
      request.raw.place?.answered();
      begin();
    }
    return reply;
  }
}
