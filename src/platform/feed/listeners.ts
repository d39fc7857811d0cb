import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { CONFIG, type Config } from '../config.token.js';
import { Problem, unavailable } from '../http/problem.js';
import { Lifecycle } from '../lifecycle/lifecycle.js';
import { showInUse } from '../metrics/in-use.js';
import type { Listener } from './listener.js';

const LOOK_MS = 1000;

const limit = new Gauge({ name: 'feed_listeners_max', help: 'Listeners of change feeds that there may be.' });

/** All listeners of this process: how many there may be, of one caller too, and how much may wait for them. */
@Injectable()
export class Listeners implements BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly all = new Map<Listener, string>();
  private readonly callers = new Map<string, number>();
  private readonly timer = setInterval(() => this.look(), LOOK_MS).unref();

  constructor(
    private readonly lifecycle: Lifecycle,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    showInUse('feed_listeners', () => this.all.size);
    limit.set(config.FEED_LISTENERS);
  }

  /**
   * Takes a place, until remove(). A replica that drains takes it as well, and sends it away in a second: an EventSource
   * takes any answer but 200 for the end, so that it would not come back to another.
   * @throws Problem quota-exceeded when the caller has too many, temporary-reduced-capacity when all have
   */
  add(listener: Listener, caller: string): void {
    const { FEED_LISTENERS: most, FEED_LISTENERS_PER_CALLER: each } = this.config;
    if ((this.callers.get(caller) ?? 0) >= each)
      throw new Problem('quota-exceeded', `You have ${each} streams open already.`, {}, { 'retry-after': '5' });
    if (this.all.size >= most) throw unavailable('There is no room to listen just now.', 5);
    this.all.set(listener, caller);
    this.callers.set(caller, (this.callers.get(caller) ?? 0) + 1);
  }

  remove(listener: Listener): void {
    const caller = this.all.get(listener);
    if (caller === undefined || !this.all.delete(listener)) return;
    const left = (this.callers.get(caller) ?? 1) - 1;
    if (left > 0) this.callers.set(caller, left);
    else this.callers.delete(caller);
  }

  beforeApplicationShutdown(): void {
    for (const listener of this.all.keys()) listener.sendAway('stop');
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    if (this.lifecycle.isDraining) this.beforeApplicationShutdown();
    const patience = this.config.SEND_TIMEOUT_MS / LOOK_MS;
    let waiting = 0;
    for (const listener of this.all.keys()) {
      if (listener.look() > patience) listener.drop();
      waiting += listener.waiting;
    }
    if (waiting <= this.config.ANSWER_MEMORY_BYTES) return;
    // Those for whom the most waits are the slowest.
    const slowest = [...this.all.keys()].sort((a, b) => b.waiting - a.waiting);
    for (const listener of slowest) {
      if (waiting <= this.config.ANSWER_MEMORY_BYTES / 2) break;
      waiting -= listener.waiting;
      listener.drop();
    }
  }
}
