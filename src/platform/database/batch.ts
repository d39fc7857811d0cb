interface Asked<K, V> {
  key: K;
  resolve(value: V | Promise<V>): void;
  reject(error: unknown): void;
}

/**
 * Gathers what is asked for one by one in the same turn of the event loop, and while so many batches are under way that
 * another would only wait: more load makes bigger batches, not more queries.
 * @param load gives a value for each key, in their order
 */
export class Batch<K, V> {
  private asked: Asked<K, V>[] = [];
  private underWay = 0;
  private isScheduled = false;

  constructor(
    private readonly load: (keys: K[]) => Promise<(V | Promise<V>)[]>,
    private readonly limits = { underWay: 2, keys: 500 },
  ) {}

  get(key: K): Promise<V> {
    return new Promise((resolve, reject) => {
      this.asked.push({ key, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.isScheduled || this.asked.length === 0 || this.underWay >= this.limits.underWay) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      void this.run(this.asked.splice(0, this.limits.keys));
      this.schedule();
    });
  }

  private async run(asked: Asked<K, V>[]): Promise<void> {
    this.underWay++;
    try {
      const values = await this.load(asked.map(({ key }) => key));
      for (let at = 0; at < asked.length; at++) asked[at]?.resolve(values[at] as V);
    } catch (error) {
      for (const { reject } of asked) reject(error);
    } finally {
      this.underWay--;
      this.schedule();
    }
  }
}
