import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Problem, unavailable } from '../http/problem.js';
import type { Change, Feed, Source } from './feed.js';
import { type Batch, BEAT, type Events, eventsOf, type Reader } from './listener.js';
import { at, type Position, writePosition } from './position.js';
import type { Ticks } from './ticks.js';

/** Readers of the same source. Each event is made once for all of them. */
export interface Group extends Source {
  key: string;
  readers: Set<Reader>;
}

const AGAIN_MS = 500;
/** Readers to whom a batch is handed before other work gets its turn. */
const TURN = 100;
const ALL = '';
/** In characters of JSON. */
const PIECE_LENGTH = 65_536;
const MOST_FILTERS = 200;

/**
 * Hands the changes of a feed to readers as they happen: each is read once for all readers of this process, from the last
 * tick to the next. A reader that is behind reads by itself until it has caught up.
 */
export class LiveFeed {
  private readonly logger = new Logger('Feed');
  private readonly groups = new Map<string, Group>();
  /** The groups by each of their scopes. */
  private readonly byScope = new Map<string, Set<Group>>();
  /** How far the groups have got. */
  private position: Position | undefined;
  private reading: Promise<void> | undefined;
  private beat = { id: '', events: BEAT };
  /** What readers who come back together ask for is read once. */
  private readonly behind = new LRUCache<string, ReturnType<Feed['next']>>({ max: 100, ttl: 2000, ttlAutopurge: true });

  constructor(
    readonly feed: Feed,
    private readonly ticks: Ticks,
  ) {
    ticks.onTick(() => this.advance());
  }

  /** Keeps a listener's connection open, and tells it how far it is: a long-silent one has little to catch up with. */
  get heartbeat(): Events {
    if (this.beat.id !== this.id) this.beat = { id: this.id, events: eventsOf(`:\nid: ${this.id}\n\n`) };
    return this.beat.events;
  }

  /** How far the groups have got. */
  private get id(): string {
    return this.position ? writePosition(this.position) : '';
  }

  /**
   * Hands over what has changed since a position, and then what changes.
   * @returns once the reader has caught up, its place, for leave(); undefined when it has gone meanwhile
   * @throws Problem invalid-request for a filter's value that is not of its column's type
   */
  async follow(source: Source, from: Position, reader: Reader): Promise<Group | undefined> {
    this.ticks.hold();
    try {
      for (let position = from; reader.isOpen; ) {
        if (this.groups.size === 0 && !this.reading) {
          const tick = await this.ticks.now();
          // Another reader may have joined meanwhile.
          if (this.groups.size === 0 && !this.reading) this.position = at(tick);
        }
        const isThere = writePosition(position) === this.id;
        const isAhead = this.position !== undefined && BigInt(position.after) >= BigInt(this.position.upTo);
        if (isThere && !this.reading) return this.join(source, reader);
        if (this.reading && (isThere || isAhead)) await this.reading;
        else {
          const next = await this.next(source, position);
          position = next.position;
          for (const changes of piecesOf(next.changes)) {
            reader.take({ changes });
            await reader.drained();
          }
        }
      }
    } catch (error) {
      this.ticks.release();
      throw error;
    }
    this.ticks.release();
    return undefined;
  }

  leave(group: Group, reader: Reader): void {
    if (!group.readers.delete(reader)) return;
    this.ticks.release();
    if (group.readers.size > 0) return;
    this.groups.delete(group.key);
    for (const scope of group.scopes ?? [ALL]) {
      const others = this.byScope.get(scope);
      if (others?.delete(group) && others.size === 0) this.byScope.delete(scope);
    }
  }

  /**
   * Whether a reader can be taken. Each filter is asked of each change, so that there may not be too many.
   * @throws Problem as follow(), and temporary-reduced-capacity
   */
  async check(source: Source, from: Position): Promise<void> {
    if (!isFiltered(source)) return;
    if (this.groups.size > MOST_FILTERS && [...this.groups.values()].filter(isFiltered).length > MOST_FILTERS)
      throw unavailable('There are too many filters just now.', 5);
    // PostgreSQL converts the filters' values, whether there is a change or not.
    await this.next(source, from);
  }

  /**
   * The next changes of a source: none when there are none yet, and a reset when the position is too old.
   * @param now the last tick, if it was asked for just now
   */
  async next(source: Source, from: Position, now?: string): Promise<{ changes: Change[]; position: Position }> {
    const { last } = this.ticks;
    // Another process may have made later ticks.
    const isBehind = last !== undefined && BigInt(from.upTo) < BigInt(last);
    const tick = now ?? (isBehind ? last : await this.ticks.now());
    const key = JSON.stringify([source, from, tick]);
    let found = this.behind.get(key);
    if (!found) {
      const { scopes, filters } = source;
      found = this.feed.next(from, tick, scopes, isFiltered(source) ? [filters] : []);
      const forget = () => this.behind.delete(key);
      found.then((next) => next && lengthOf(next.changes) > PIECE_LENGTH && forget(), forget);
      this.behind.set(key, found);
    }
    const next = await found;
    if (!next) return { changes: [reset(tick)], position: at(tick) };
    return { ...next, changes: next.changes.filter(({ fits }) => fits.every(Boolean)) };
  }

  private join(source: Source, reader: Reader): Group {
    const key = JSON.stringify(source);
    const group = this.groups.get(key) ?? { ...source, key, readers: new Set() };
    this.groups.set(key, group);
    group.readers.add(reader);
    for (const scope of group.scopes ?? [ALL])
      this.byScope.set(scope, (this.byScope.get(scope) ?? new Set()).add(group));
    return group;
  }

  private advance(): void {
    if (this.groups.size === 0) return;
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
  }

  private async read(): Promise<void> {
    while (this.position && this.groups.size > 0 && writePosition(this.position) !== this.ticks.last) {
      const tick = this.ticks.last as string;
      const groups = [...this.groups.values()];
      const filtered = groups.filter(isFiltered);
      const filters = [...new Set(filtered.map(({ filters }) => JSON.stringify(filters)))];
      const places = new Map(filtered.map((group) => [group, filters.indexOf(JSON.stringify(group.filters))]));
      const scopes = groups.some((group) => group.scopes === undefined) ? undefined : [...this.byScope.keys()];
      try {
        const asked = filters.map((text) => JSON.parse(text) as Source['filters']);
        const next = await this.feed.next(this.position, tick, scopes, asked);
        const changes = next?.changes ?? [reset(tick)];
        const position = next?.position ?? at(tick);
        for (const piece of piecesOf(changes)) await this.dispatch(piece, places);
        this.position = position;
      } catch (error) {
        // Ticks tells that PostgreSQL cannot be reached. What it refuses would be refused again: so nobody waits for that.
        if (error instanceof Problem) {
          this.logger.error(`Changes of ${this.feed.table.name} cannot be read, and are left out: ${error.message}`);
          await this.dispatch([reset(tick)], new Map());
          this.position = at(tick);
          continue;
        }
        await sleep(AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  private async dispatch(changes: Change[], places: Map<Group, number>): Promise<void> {
    const batches = new Map<Group, Batch>();
    for (const change of changes) {
      const isForAll = change.kind === 'reset' && change.scope === null;
      const groups = isForAll ? this.groups.values() : this.groupsOf(change.scope ?? ALL);
      for (const group of groups) {
        const place = places.get(group);
        if (place !== undefined && change.fits[place] === false) continue;
        const batch = batches.get(group) ?? { changes: [] };
        batches.set(group, batch);
        batch.changes.push(change);
      }
    }
    let count = 0;
    for (const [{ readers }, batch] of batches) {
      for (const reader of [...readers]) {
        reader.take(batch);
        if (++count % TURN === 0) await turn();
      }
    }
  }

  private *groupsOf(scope: string): Iterable<Group> {
    if (scope !== ALL) yield* this.byScope.get(scope) ?? [];
    yield* this.byScope.get(ALL) ?? [];
  }
}

const isFiltered = ({ filters }: Source) => Object.values(filters).some((value) => value !== undefined);

/** Tells readers that they have missed changes, and should read everything again. */
export const reset = (tick: string): Change => ({ id: tick, kind: 'reset', scope: null, json: '{}', fits: [] });

/** Changes in pieces that are sent at once: a reader who does not keep up shows between two of them. */
function* piecesOf(changes: Change[]): Iterable<Change[]> {
  let [begin, length] = [0, 0];
  for (const [at, { json }] of changes.entries()) {
    if (at > begin && length + json.length > PIECE_LENGTH) {
      yield changes.slice(begin, at);
      [begin, length] = [at, 0];
    }
    length += json.length;
  }
  if (begin < changes.length) yield changes.slice(begin);
}

const lengthOf = (changes: Change[]) => changes.reduce((sum, { json }) => sum + json.length, 0);
