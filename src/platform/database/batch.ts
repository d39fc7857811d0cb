import { setImmediate } from 'node:timers/promises';
import pLimit from 'p-limit';
import { showInUse } from '../metrics/in-use.js';

/**
 * Gathers what is asked for one by one in the same turn of the event loop, and while so many batches are under way that
 * another would only wait: more load makes bigger batches, not more queries.
 */
export class Batch<K, V> {
  private readonly limit;
  /** The batch that still takes keys. */
  private open: { keys: K[]; values: Promise<(V | Promise<V>)[]> } | undefined;

  /**
   * @param load gives a value for each key, in their order
   * @param underWay batches at the same time at most
   * @param most keys in one
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
