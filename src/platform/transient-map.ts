/** A new Map is made after so many insertions, plus the entries it begins with. */
const RENEWED_AFTER = 256;

/**
 * A Map for entries that come and go with each request. V8 replaces a Map's table after many deletions, and each old
 * table points to its successor: once one is in the old generation, it keeps all later ones, and all their entries,
 * from being collected by the scavenger. A new Map breaks this chain before a table grows old.
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

  /** In insertion order. */
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
