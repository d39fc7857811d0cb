import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { entries } from '../bounds.js';
import { CONFIG, type Config } from '../config.token.js';
import { Problem } from '../http/problem.js';
import { showInUse } from '../metrics/in-use.js';
import { TransientMap } from '../transient-map.js';
import { type Entry, isDead, type Lifetime, type Loaded, type Tag } from './entry.js';
import { Invalidations } from './invalidations.js';

/** Entries that start together must not end together: expiry is spread by ±10 %. */
const JITTER = 0.1;
/** What is not there is asked for again after this. */
const ABSENT_MS = 2000;
/** While invalidations may get lost, an entry lives so long; with the silence that tells, it makes 1 s (see Invalidations). */
const UNTRUSTED_MS = 400;
/** After a failed load, what is kept is given out without another try for so long. */
const RETRY_MS = 1000;
/** What an entry takes beside its value, about; with it, bytes bound the number of entries too. */
const BYTES_PER_ENTRY = 500;
const TAGS = 100_000;
const SPOILS = 10_000;

/**
 * The first tier: what was read, in this process, by its name. One load per name at a time, however many ask; behind its
 * time an entry is given out and had anew; when it cannot be had, it is given out too. A load that began before an
 * invalidation of its name, or of a tag, is never kept, and nobody who asks later waits for it.
 */
@Injectable()
export class Cache {
  private readonly entries: LRUCache<string, Entry>;
  private readonly tags: LRUCache<string, Tag>;
  private readonly loads = new TransientMap<string, Promise<Entry>>();
  /** Names invalidated while loads are under way, by the number of their last invalidation. */
  private readonly spoiled = new Map<string, number>();
  /** Loads under way, also those that nobody else waits for any more. */
  private running = 0;
  private invalidations = 0;
  private spoiledBefore = 0;
  readonly counts = { hits: 0, stale: 0, misses: 0, failures: 0 };
  readonly lifetime: Lifetime;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly others: Invalidations,
  ) {
    this.lifetime = { ttlMs: config.CACHE_TTL_MS, staleMs: config.CACHE_STALE_MS };
    this.entries = new LRUCache({ maxSize: config.CACHE_MEMORY_BYTES });
    this.tags = new LRUCache({
      ...entries(TAGS),
      // Whoever holds it can no longer be told of its end.
      dispose: (tag) => {
        tag.isDead = true;
      },
    });
    showInUse('cache_loads', () => this.running);
    others.listen({ drop: (names) => this.drop(names), dropAll: () => this.dropAll() });
  }

  /** What is kept under a name, if it may be given out without asking; undefined otherwise. */
  peek<T>(name: string, now: number): Entry<T> | undefined {
    const entry = this.entries.get(name) as Entry<T> | undefined;
    if (entry === undefined || !this.isFresh(entry, now)) return undefined;
    this.counts.hits++;
    return entry;
  }

  /** @throws what the load throws, when nothing is kept; at once what is kept, if it is fresh */
  fetch<T>(name: string, load: () => Promise<Loaded<T>>, lifetime = this.lifetime): Entry<T> | Promise<Entry<T>> {
    const now = performance.now();
    const entry = this.entries.get(name) as Entry<T> | undefined;
    if (entry === undefined || isDead(entry)) {
      this.counts.misses++;
      return this.load(name, load, lifetime);
    }
    if (this.isFresh(entry, now)) {
      this.counts.hits++;
      return entry;
    }
    this.counts.stale++;
    const renewed = this.load(name, load, lifetime).catch((error) => {
      // What was changed meanwhile, or may have been without a word here, is nobody's to have.
      const isKnown = this.others.areHeard && this.entries.get(name) === entry && !isDead(entry);
      // That there is no such thing is never said from memory alone.
      const isLasting = entry.staleUntil > entry.freshUntil;
      if (!isKnown || !isLasting || (error instanceof Problem && error.status < 500)) throw error;
      this.counts.failures++;
      entry.retryAt = performance.now() + RETRY_MS;
      return entry;
    });
    if (!this.others.areHeardAt(now) || now > entry.staleUntil) return renewed;
    renewed.catch(() => undefined);
    return entry;
  }

  /** Ends what is kept under these names, or depends on them, here at once and elsewhere within 1 s. For after a commit. */
  invalidate(...names: string[]): void {
    this.drop(names);
    this.others.tell(names);
  }

  /** What is kept takes so many bytes more than it did, if it still is. */
  grow(entry: Entry, bytes: number): void {
    if (this.entries.peek(entry.name) !== entry) return;
    entry.bytes += bytes;
    // Of a value that is there already the size would stay.
    this.entries.delete(entry.name);
    this.entries.set(entry.name, entry, { size: entry.bytes });
  }

  private isFresh(entry: Entry, now: number): boolean {
    if (isDead(entry)) return false;
    const limit = this.others.areHeardAt(now)
      ? entry.freshUntil
      : Math.min(entry.freshUntil, entry.storedAt + UNTRUSTED_MS);
    return now < limit || now < entry.retryAt;
  }

  private load<T>(name: string, load: () => Promise<Loaded<T>>, lifetime: Lifetime): Promise<Entry<T>> {
    const underWay = this.loads.get(name) as Promise<Entry<T>> | undefined;
    if (underWay) return underWay;
    const begun = this.invalidations;
    this.running++;
    const run = async () => {
      try {
        return this.keep(name, await load(), lifetime, begun);
      } finally {
        if (this.loads.get(name) === loading) this.loads.delete(name);
        if (--this.running === 0) this.spoiled.clear();
      }
    };
    const loading = run();
    this.loads.set(name, loading);
    return loading;
  }

  private keep<T>(
    name: string,
    { value, bytes, tags = [], ageMs = 0, madeOf, isAbsent }: Loaded<T>,
    lifetime: Lifetime,
    begun: number,
  ) {
    const ttlMs =
      (isAbsent ? Math.min(ABSENT_MS, lifetime.ttlMs) : lifetime.ttlMs) * (1 + JITTER * (2 * Math.random() - 1));
    const now = performance.now();
    const storedAt = now - ageMs;
    const stale = madeOf && madeOf.freshUntil < now ? madeOf : undefined;
    const freshUntil = Math.min(storedAt + ttlMs, stale?.freshUntil ?? Number.POSITIVE_INFINITY);
    const staleUntil = isAbsent ? freshUntil : freshUntil + lifetime.staleMs;
    const isSpoiled = begun < this.spoiledBefore || [name, ...tags].some((one) => (this.spoiled.get(one) ?? 0) > begun);
    const entry: Entry<T> = {
      name,
      value,
      bytes: bytes + BYTES_PER_ENTRY,
      storedAt,
      freshUntil,
      staleUntil,
      retryAt: stale?.retryAt ?? 0,
      tags: tags.map((tag) => this.tag(tag)),
      isSpoiled,
    };
    if (!isSpoiled && ttlMs > 0) this.entries.set(name, entry, { size: entry.bytes });
    return entry;
  }

  private tag(name: string): Tag {
    const known = this.tags.get(name);
    if (known) return known;
    const tag = { isDead: false };
    this.tags.set(name, tag);
    return tag;
  }

  private drop(names: readonly string[]): void {
    this.invalidations++;
    for (const name of names) {
      this.entries.delete(name);
      // Its load may have read what was before. Of a tag it is not known which loads will turn out to bear it.
      this.loads.delete(name);
      if (this.tags.delete(name)) this.loads.clear();
      if (this.running > 0) this.spoiled.set(name, this.invalidations);
    }
    if (this.spoiled.size > SPOILS) this.spoil();
  }

  private dropAll(): void {
    this.invalidations++;
    this.entries.clear();
    this.spoil();
  }

  /** No load that is under way is kept. */
  private spoil(): void {
    this.spoiledBefore = this.invalidations;
    this.spoiled.clear();
    this.loads.clear();
  }
}
