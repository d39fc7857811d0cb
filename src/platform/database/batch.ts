import { setImmediate } from 'node:timers/promises';
import pLimit from 'p-limit';
import { showInUse } from '../metrics/in-use.js';

/**
 * Collects keys that are asked for in the same turn of the event loop, and for longer while the maximum of batches is
 * under way. More load makes bigger batches, not more queries.
 */
export class Batch<K, V> {
  private readonly limit;
  /** The batch that still takes keys. */
  private open: { keys: K[]; values: Promise<(V | Promise<V>)[]> } | undefined;

  /**
   * @param load returns a value for each key, in the order of the keys
   * @param underWay the most batches at the same time
   * @param most the most keys in a batch
   */
  constructor(
    private readonly load: (keys: K[]) => Promise<(V | Promise<V>)[]>,
    underWay: number,
    private readonly most: number,
  ) {
    this.limit = pLimit(underWay);
    showInUse('batches', () => this.limit.activeCount + this.limit.pendingCount);
  }

  async get(key: K): Promise<V> {
    if (!this.open || this.open.keys.length === this.most) this.open = this.begin([]);
    const { keys, values } = this.open;
    const at = keys.push(key) - 1;
    return (await values)[at] as V | Promise<V>;
  }

  private begin(keys: K[]) {
    const values = this.limit(async () => {
      await setImmediate();
      if (this.open?.keys === keys) this.open = undefined;
      return this.load(keys);
    });
    return { keys, values };
  }
}
