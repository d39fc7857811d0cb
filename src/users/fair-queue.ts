type Waiting = PromiseWithResolvers<void>;

/**
 * Work of some kinds, of which only so much is done at the same time. Who waits does so in a line of the own key: kinds take
 * turns, and within each of them keys do. When there are too many, the last one goes of the longest line of the kind that
 * most wait of. So a kind, or a key, has all of the room that nobody else asks for, and keeps nobody out.
 */
export class FairQueue<Kind extends string> {
  private running = 0;
  private waiting = 0;
  /** Lines by key, by kind: those in which somebody waits, in the order in which it is their turn. */
  private readonly kinds = new Map<Kind, Map<string, Waiting[]>>();

  /**
   * @param room for so many to wait
   * @param refusal what one too many is told
   */
  constructor(
    private readonly atOnce: number,
    private readonly room: number,
    private readonly refusal: () => Error,
  ) {}

  /** How many wait or are worked for. */
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

  /** Of what is equal, it is the newcomer who goes. */
  private drop(newKind: Kind, newKey: string): void {
    const [kind, lines] = largest(this.kinds, newKind, (of) => [...of.values()].flat().length);
    const [key, line] = largest(lines, newKey, ({ length }) => length);
    this.waiting--;
    line.pop()?.reject(this.refusal());
    if (line.length === 0) lines.delete(key);
    if (lines.size === 0) this.kinds.delete(kind);
  }
}

/** Its turn comes again when all others have had theirs. */
function putBehind<K, V>(map: Map<K, V>, key: K, value: V, left: number): void {
  map.delete(key);
  if (left > 0) map.set(key, value);
}

/** @param favourite comes first of those that are as large, if it is there */
function largest<K, V>(map: Map<K, V>, favourite: K, sizeOf: (value: V) => number): [K, V] {
  const all = [...map].sort(
    ([a, of], [b, than]) => sizeOf(than) - sizeOf(of) || Number(b === favourite) - Number(a === favourite),
  );
  return all[0] as [K, V];
}
