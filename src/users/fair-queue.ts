type Waiting = PromiseWithResolvers<void>;

/**
 * A queue for work of several kinds, with bounded concurrency and length. Each key has a line of its own: kinds take
 * turns, and within a kind its keys do. When the queue is full, the last of the longest line of the largest kind is
 * refused. So a kind or a key may use all room that nobody else asks for, and keeps nobody out.
 */
export class FairQueue<Kind extends string> {
  private running = 0;
  private waiting = 0;
  /** The lines that are not empty, by kind and key, in the order of their turns. */
  private readonly kinds = new Map<Kind, Map<string, Waiting[]>>();

  /**
   * @param room how many may wait
   * @param refusal the error for work that is refused
   */
  constructor(
    private readonly atOnce: number,
    private readonly room: number,
    private readonly refusal: () => Error,
  ) {}

  /** How many are waiting or running. */
  get size(): number {
    return this.running + this.waiting;
  }

  async run<T>(kind: Kind, key: string, work: () => Promise<T>): Promise<T> {
    if (this.running < this.atOnce) this.running++;
    else await this.wait(kind, key);
    try {
      return await work();
    } finally {
      const next = this.next();
      if (next) next.resolve();
      else this.running--;
    }
  }

  private wait(kind: Kind, key: string): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    const lines = this.kinds.get(kind) ?? new Map<string, Waiting[]>();
    const line = lines.get(key) ?? [];
    line.push(waiting);
    lines.set(key, line);
    this.kinds.set(kind, lines);
    this.waiting++;
    if (this.waiting > this.room) this.drop(kind, key);
    return waiting.promise;
  }

  private next(): Waiting | undefined {
    const [kind, lines] = this.kinds.entries().next().value ?? [];
    const [key, line] = lines?.entries().next().value ?? [];
    if (!kind || !lines || key === undefined || !line) return undefined;
    this.waiting--;
    const first = line.shift();
    putBehind(lines, key, line, line.length);
    putBehind(this.kinds, kind, lines, lines.size);
    return first;
  }

  /** Refuses one that waits; among lines of equal length, the newcomer. */
  private drop(newKind: Kind, newKey: string): void {
    const [kind, lines] = largest(this.kinds, newKind, (of) => [...of.values()].flat().length);
    const [key, line] = largest(lines, newKey, ({ length }) => length);
    this.waiting--;
    line.pop()?.reject(this.refusal());
    if (line.length === 0) lines.delete(key);
    if (lines.size === 0) this.kinds.delete(kind);
  }
}

/** Moves an entry to the end of the turns, or removes it when nothing is left in it. */
function putBehind<K, V>(map: Map<K, V>, key: K, value: V, left: number): void {
  map.delete(key);
  if (left > 0) map.set(key, value);
}

/** @param favourite the key that is preferred among the largest */
function largest<K, V>(map: Map<K, V>, favourite: K, sizeOf: (value: V) => number): [K, V] {
  const all = [...map].sort(
    ([a, of], [b, than]) => sizeOf(than) - sizeOf(of) || Number(b === favourite) - Number(a === favourite),
  );
  return all[0] as [K, V];
}
