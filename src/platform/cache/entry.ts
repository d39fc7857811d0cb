/** What a load gives to be kept. */
export interface Loaded<T> {
  value: T;
  /** About what it takes in memory. */
  bytes: number;
  /** Names of other things whose change ends it too. */
  tags?: string[] | undefined;
  /** It was worked out so long ago, on another process. */
  ageMs?: number;
  /** What was kept and it is made of: where that was past its time, it is no fresher. */
  madeOf?: Entry | undefined;
  /** There is no such thing: kept for a short while only. */
  isAbsent?: boolean;
}

/** Something kept, and until when. Times are milliseconds of performance.now(). */
export interface Entry<T = unknown> {
  readonly name: string;
  readonly value: T;
  /** What it takes in memory, about. */
  bytes: number;
  readonly storedAt: number;
  readonly freshUntil: number;
  readonly staleUntil: number;
  /** It could not be had anew just now: until then it is given out as it is. */
  retryAt: number;
  readonly tags: readonly Tag[];
  /** It changed while it was being read: this is for who had asked before, and nothing that is kept may be made of it. */
  readonly isSpoiled: boolean;
}

/** A name on which entries depend, alive until it is invalidated. */
export interface Tag {
  isDead: boolean;
}

/** How long something is kept, if it is not invalidated before. */
export interface Lifetime {
  ttlMs: number;
  /** How long behind that it is still given out while it is being had anew. With 0, not even when that cannot be done. */
  staleMs: number;
}

/** Something that was read for this one reader. */
export const unkept = <T>(value: T): Entry<T> => ({
  name: '',
  value,
  bytes: 0,
  storedAt: 0,
  freshUntil: Number.POSITIVE_INFINITY,
  staleUntil: 0,
  retryAt: 0,
  tags: [],
  isSpoiled: false,
});

/** What Cache-Status (RFC 9211) says of an entry that is known to be past its time; undefined for a fresh one. */
export function staleness({ freshUntil }: Entry, now = performance.now()): string | undefined {
  const seconds = Math.floor((freshUntil - now) / 1000);
  return seconds < 0 ? `floodgate; hit; ttl=${seconds}` : undefined;
}

/** Whether something that it depends on has changed. */
export function isDead({ tags }: Entry): boolean {
  for (const tag of tags) if (tag.isDead) return true;
  return false;
}
