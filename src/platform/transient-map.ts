/** What is put in before its Map is made anew, beside what is in it. */
const RENEWED_AFTER = 256;

/**
 * A Map of what comes and goes with each request. V8 makes the table of a Map anew every time so many have been deleted, and
 * a table keeps the one that follows it: once one has grown old, all later ones do, with all that was in them when they were
 * left. Here another Map takes over before a table can grow old.
 */
export class TransientMap<K, V> {
  private map = new Map<K, V>();
  private left = RENEWED_AFTER;

  get size(): number {
    return this.map.size;
  }

  get(key: K): V | undefined {
    return this.map.get(key);
  }

  set(key: K, value: V): void {
    if (--this.left === 0) {
      this.map = new Map(this.map);
      this.left = RENEWED_AFTER + this.map.size;
    }
    this.map.set(key, value);
  }

  /** In the order in which they were put in. */
  keys(): Iterable<K> {
    return this.map.keys();
  }

  delete(key: K): void {
    this.map.delete(key);
  }

  clear(): void {
    this.map = new Map();
  }
}
