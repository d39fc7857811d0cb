/** The result of a load. */
export interface Loaded<T> {
  value: T;
  /** Rough size in memory. */
  bytes: number;
  /** An invalidation of any of these names drops the entry too. */
  tags?: string[] | undefined;
  /** Its age, when another process made it. */
  ageMs?: number;
  /** The entry it is made of: a stale one makes it stale too. */
  madeOf?: Entry | undefined;
  /** It is a "not found", which is kept for a short while only. */
  isAbsent?: boolean;
}

/** A cache entry. Times are milliseconds of performance.now(). */
export interface Entry<T = unknown> {
  readonly name: string;
  readonly value: T;
  /** Rough size in memory. */
  bytes: number;
  /** When its load began, which is when it may have been read. */
  readonly begunAt: number;
  readonly storedAt: number;
  readonly freshUntil: number;
  readonly staleUntil: number;
  /** The last load failed: until this time the stale value is served without another try. */
  retryAt: number;
  readonly tags: readonly Tag[];
  /** Invalidated during its load: only callers who asked before that may have it, and no entry may be made of it. */
  readonly isSpoiled: boolean;
}

/** A name that entries depend on; dead once it is invalidated. */
export interface Tag {
  isDead: boolean;
}

/** How long an entry lives, unless it is invalidated first. */
export interface Lifetime {
  ttlMs: number;
  /** How long after that it is served while it is loaded again. Later, only when the load fails; with 0, never. */
  staleMs: number;
}

/** Wraps a value that was read for one caller and is not kept. */
export const unkept = <T>(value: T): Entry<T> => ({
  name: '',
  value,
  bytes: 0,
  begunAt: 0,
  storedAt: 0,
  freshUntil: Number.POSITIVE_INFINITY,
  staleUntil: 0,
  retryAt: 0,
  tags: [],
  isSpoiled: false,
});

/** @returns the Cache-Status (RFC 9211) of a stale entry; undefined for a fresh one */
export function staleness({ freshUntil }: Entry, now = performance.now()): string | undefined {
  const seconds = Math.floor((freshUntil - now) / 1000);
  return seconds < 0 ? `floodgate; hit; ttl=${seconds}` : undefined;
}

/** Whether one of its tags was invalidated. */
export function isDead({ tags }: Entry): boolean {
  for (const tag of tags) if (tag.isDead) return true;
  return false;
}
