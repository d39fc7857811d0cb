import type { Redis } from '../redis/redis.js';
import { CHANGED, FORGOTTEN_MS, KEY_VERSION } from './membership.js';

export const CHANNEL = `${KEY_VERSION}:invalidations`;
/**
 * Numbers a change by Redis' time in µs, and tells it to all replicas with the number of the change before. In a full Redis,
 * PERSIST, which changes nothing, lets the other write pass.
 */
export const TELL = `
local time = redis.call('TIME')
redis.call('PERSIST', KEYS[1])
local after = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, tonumber(ARGV[1]))
local n = math.max(after + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[1], n)
redis.call('PUBLISH', ARGV[2], string.format('{"after":%.0f,"n":%.0f,', after, n) .. ARGV[3])
return n`;
/** The most names that may wait. */
const MAX_PENDING = 100_000;
/** Names in one call, which has to end within its time-out. */
const NAMES_PER_CALL = 1000;

/** Names whose values have to be removed from the second tier, and whose change has to be told to all replicas. */
export class Outbox {
  /** The highest number of a change that this replica knows of. */
  known = 0;
  private readonly pending = new Set<string>();
  private sending = Promise.resolve(true);
  private overflownAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly redis: Redis,
    private readonly id: string,
  ) {}

  add(name: string): void {
    this.pending.add(name);
    if (this.pending.size <= MAX_PENDING) return;
    this.pending.clear();
    this.overflownAt = performance.now();
  }

  has(name: string): boolean {
    return this.pending.has(name);
  }

  /** One call at a time: what is added meanwhile goes out together with the next. @returns whether all until now is told */
  send(): Promise<boolean> {
    this.sending = this.sending.then(() => this.sendPending());
    return this.sending;
  }

  private async sendPending(): Promise<boolean> {
    for (let left = this.pending.size; left > 0; left -= NAMES_PER_CALL) {
      const names = [...this.pending].slice(0, NAMES_PER_CALL);
      for (const name of names) this.pending.delete(name);
      const n = await this.removeAndTell(names);
      if (n === undefined) {
        for (const name of names) this.add(name);
        return false;
      }
      this.known = Math.max(this.known, n);
    }
    // Names that are lost count as untold until the others have forgotten this replica, and have dropped everything.
    return performance.now() - this.overflownAt > FORGOTTEN_MS + 1000;
  }

  /** @returns the number of the change */
  private removeAndTell(names: string[]): Promise<number | undefined> {
    const text = JSON.stringify({ from: this.id, names }).slice(1);
    const given = { keys: [CHANGED], arguments: [String(this.known), CHANNEL, text] };
    return this.redis.attempt(async (client) => {
      const removed = names.map((name) => client.del(`${KEY_VERSION}:${name}`));
      const [n] = await Promise.all([client.eval(TELL, given), ...removed]);
      return n as number;
    }, undefined);
  }
}
