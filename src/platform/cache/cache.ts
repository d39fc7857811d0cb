import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { entries } from '../bounds.js';
import { CONFIG, type Config } from '../config.token.js';
import { Problem } from '../http/problem.js';
import { showInUse } from '../metrics/in-use.js';
import { TransientMap } from '../transient-map.js';
import { type Entry, isDead, type Lifetime, type Loaded, type Tag } from './entry.js';
import { Invalidations } from './invalidations.js';

/** Spreads expiry by ±10 %, so that entries stored together do not expire together. */
const JITTER = 0.1;
/** The TTL of a "not found". */
const ABSENT_MS = 2000;
/** The TTL while a replica may have changes untold: what is made of an entry may live as long again, which is within 1 s. */
const UNTRUSTED_MS = 400;
/** How long a stale entry is served after a failed load before the next try. */
const RETRY_MS = 1000;
/** Rough overhead of an entry beside its value, counted so that the limit in bytes bounds the number of entries too. */
const BYTES_PER_ENTRY = 500;
const TAGS = 100_000;
const MAX_INVALIDATED = 10_000;

/**
 * The first tier of the cache: what this process has read, by name. One load per name runs at a time, however many
 * callers wait. An expired entry is served while it is loaded again, and also when that load fails. When a name or one
 * of its tags is invalidated during a load, the result is not kept, and later callers do not wait for it.
 */
@Injectable()
export class Cache {
  private readonly entries: LRUCache<string, Entry>;
  private readonly tags: LRUCache<string, Tag>;
  private readonly loads = new TransientMap<string, { begunAt: number; entry: Promise<Entry> }>();
  /** Names invalidated while loads are running, with the number of their last invalidation. */
  private readonly invalidated = new Map<string, number>();
  /** Running loads, including those that no new caller joins. */
  private running = 0;
  private invalidations = 0;
  private discardedBefore = 0;
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
      // Entries may still hold an evicted tag, and would not see a later invalidation.
      dispose: (tag) => {
        tag.isDead = true;
      },
    });
    showInUse('cache_loads', () => this.running);
    others.listen({ drop: (names) => this.drop(names), dropAll: () => this.dropAll() });
  }

  /** @returns the entry, if it is fresh */
  peek<T>(name: string, now: number): Entry<T> | undefined {
    const entry = this.entries.get(name) as Entry<T> | undefined;
    if (entry === undefined || !this.isFresh(entry, now)) return undefined;
    this.counts.hits++;
    return entry;
  }

  /** @returns a fresh entry at once @throws what the load throws, when there is no stale entry to serve */
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
      // A stale entry is served only if no change of it can have been missed.
      const isKnown = this.others.areHeard() && this.entries.get(name) === entry && !isDead(entry);
      // A "not found" has no stale time, and is never served stale.
      const isLasting = entry.staleUntil > entry.freshUntil;
      if (!isKnown || !isLasting || (error instanceof Problem && error.status < 500)) throw error;
      this.counts.failures++;
      entry.retryAt = performance.now() + RETRY_MS;
      return entry;
    });
    if (!this.others.areHeard(now) || now > entry.staleUntil) return renewed;
    renewed.catch(() => undefined);
    return entry;
  }

  /** Drops entries with these names or tags, here at once, on other replicas within 1 s. Call it after the commit. */
  invalidate(...names: string[]): void {
    this.drop(names);
    this.others.tell(names);
  }

  /** Counts more bytes for an entry that has grown, if it is still in the cache. */
  grow(entry: Entry, bytes: number): void {
    if (this.entries.peek(entry.name) !== entry) return;
    entry.bytes += bytes;
    // lru-cache ignores the new size when the same value is set again.
    this.entries.delete(entry.name);
    this.entries.set(entry.name, entry, { size: entry.bytes });
  }

  private isFresh(entry: Entry, now: number): boolean {
    if (isDead(entry) || !this.isTrusted(entry.begunAt, now)) return false;
    return now < entry.freshUntil || now < entry.retryAt;
  }

  /** Whether it may be served what was read then. What is from before a silence may be again once all are heard. */
  private isTrusted(readAt: number, now: number): boolean {
    const { heardUntil } = this.others;
    return now < heardUntil || (readAt > heardUntil && now < readAt + UNTRUSTED_MS);
  }

  private load<T>(name: string, load: () => Promise<Loaded<T>>, lifetime: Lifetime): Promise<Entry<T>> {
    const begunAt = performance.now();
    const underWay = this.loads.get(name);
    if (underWay && this.isTrusted(underWay.begunAt, begunAt)) return underWay.entry as Promise<Entry<T>>;
    const begun = this.invalidations;
    this.running++;
    const run = async () => {
      try {
        return this.keep(name, await load(), lifetime, begun, begunAt);
      } finally {
        if (this.loads.get(name) === loading) this.loads.delete(name);
        if (--this.running === 0) this.invalidated.clear();
      }
    };
    const loading = { begunAt, entry: run() };
    this.loads.set(name, loading);
    return loading.entry;
  }

  private keep<T>(
    name: string,
    { value, bytes, tags = [], ageMs = 0, madeOf, isAbsent }: Loaded<T>,
    lifetime: Lifetime,
    begun: number,
    begunAt: number,
  ) {
    const ttlMs =
      (isAbsent ? Math.min(ABSENT_MS, lifetime.ttlMs) : lifetime.ttlMs) * (1 + JITTER * (2 * Math.random() - 1));
    const now = performance.now();
    const storedAt = now - ageMs;
    const stale = madeOf && madeOf.freshUntil < now ? madeOf : undefined;
    const freshUntil = Math.min(storedAt + ttlMs, stale?.freshUntil ?? Number.POSITIVE_INFINITY);
    const staleUntil = isAbsent ? freshUntil : freshUntil + lifetime.staleMs;
    const isSpoiled =
      begun < this.discardedBefore || [name, ...tags].some((one) => (this.invalidated.get(one) ?? 0) > begun);
    const entry: Entry<T> = {
      name,
      value,
      bytes: bytes + BYTES_PER_ENTRY,
      begunAt,
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
      // A running load may have read the old state. Its tags are not known yet, so a tag ends all loads.
      this.loads.delete(name);
      if (this.tags.delete(name)) this.loads.clear();
      if (this.running > 0) this.invalidated.set(name, this.invalidations);
    }
    if (this.invalidated.size > MAX_INVALIDATED) this.discardLoads();
  }

  private dropAll(): void {
    this.invalidations++;
    this.entries.clear();
    this.discardLoads();
  }

  /** Keeps no result of a load that is running now. */
  private discardLoads(): void {
    this.discardedBefore = this.invalidations;
    this.invalidated.clear();
    this.loads.clear();
  }
}
