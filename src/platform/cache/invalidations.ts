import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleInit } from '@nestjs/common';
import { Injectable, Logger } from '@nestjs/common';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { FORGOTTEN_MS, Membership, SECOND_TIER_TTL_MS, type Signed, TRUSTED_MS } from './membership.js';
import { CHANNEL, Outbox } from './outbox.js';

const BEAT_MS = 250;
/** How long a message may be behind the number that it carries, when nothing is lost. */
const BEHIND_MS = 100;
/** A read that takes longer is not put into the second tier. For as long, a late invalidation removes a value again. */
const OVERTAKEN_MS = 5000;
/** What a lost Redis did within so long, the one in its place may lack: its copy was not up to date. */
const LAG_MS = 10_000;

interface Message {
  /** The number of the change before this one. Older builds send none, and messages without names. */
  after?: number;
  n: number;
  from: string;
  names?: string[];
}

interface Listener {
  drop(names: readonly string[]): void;
  dropAll(): void;
}

/**
 * Exchanges invalidations with the other replicas over Redis. Redis numbers them, and each replica asks for the last number
 * together with its own sign of life: if it has not heard that one, all entries are dropped. While a replica gives no sign
 * of life it may have changes untold, and `areHeard` is false.
 */
@Injectable()
export class Invalidations implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  /** Until when every change on any replica would be known here, in ms of performance.now(). */
  heardUntil: number;
  private readonly logger = new Logger(Invalidations.name);
  private readonly membership: Membership;
  private readonly outbox: Outbox;
  private wereHeard: boolean;
  /** The number up to which everything was heard, or dropped. */
  private heard = 0;
  /** Names put into the second tier within OVERTAKEN_MS, oldest first. */
  private readonly put = new Map<string, number>();
  /** Names changed on any replica within LAG_MS, and of these on this one, oldest first. */
  private readonly changed = new Map<string, number>();
  private readonly told = new Map<string, number>();
  private missedAt = 0;
  private isBesideOlder = false;
  private isLeaving = false;
  private readonly listeners: Listener[] = [];

  constructor(
    private readonly redis: Redis,
    private readonly background: Background,
  ) {
    this.membership = new Membership(redis);
    this.outbox = new Outbox(redis, this.membership.id);
    this.wereHeard = !redis.isConfigured;
    this.heardUntil = this.wereHeard ? Number.POSITIVE_INFINITY : 0;
  }

  listen(listener: Listener): void {
    this.listeners.push(listener);
  }

  /** Whether every change on any replica more than TRUSTED_MS ago is known here. */
  areHeard(now = performance.now()): boolean {
    return now < this.heardUntil;
  }

  /** Replicas that are alive, including this one, when Redis last answered; 1 without Redis. */
  get replicas(): number {
    return this.membership.replicas;
  }

  onModuleInit(): void {
    if (this.redis.isConfigured) this.redis.listen(CHANNEL, (text) => this.take(text));
    this.redis.onLoss(() => this.doubt());
  }

  onApplicationBootstrap(): void {
    if (this.redis.isConfigured) this.background.every(BEAT_MS, 'heartbeat over Redis', () => this.beat());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isLeaving = true;
    if (await this.outbox.send()) await this.membership.leave();
  }

  /** Removes names from the second tier and tells all replicas. What fails is tried again before the next heartbeat. */
  tell(names: string[]): void {
    if (!this.redis.isConfigured) return;
    for (const times of [this.changed, this.told]) note(times, names, LAG_MS);
    for (const name of names) this.outbox.add(name);
    void this.outbox.send();
  }

  /** After the loss of a Redis: the names count as just changed until their values expire, and are removed again. */
  private doubt(): void {
    const now = performance.now();
    for (const [name, at] of this.changed) this.changed.set(name, at > now ? at : now + SECOND_TIER_TTL_MS);
    for (const name of this.told.keys()) this.outbox.add(name);
  }

  /** Whether the second tier may hold a value from before a change that is known here. */
  hasChanged(name: string): boolean {
    return (
      this.outbox.has(name) || (this.changed.get(name) ?? Number.NEGATIVE_INFINITY) > performance.now() - OVERTAKEN_MS
    );
  }

  /**
   * Must be called before names are put into the second tier: one whose invalidation arrives later is removed again.
   * @param since when reading the values began, in ms of performance.now()
   * @returns the names with no invalidation since then
   */
  putting(names: readonly string[], since: number): string[] {
    if (since < Math.max(this.missedAt, performance.now() - OVERTAKEN_MS)) return [];
    const current = names.filter((name) => (this.changed.get(name) ?? 0) < since);
    note(this.put, current, OVERTAKEN_MS);
    return current;
  }

  private async beat(): Promise<void> {
    this.report();
    const at = performance.now();
    // With changes untold it keeps silent.
    if (this.isLeaving || !(await this.outbox.send())) return;
    const sign = () => this.membership.sign(at, this.outbox.known);
    // The first may have been given up because this process stood still.
    const signed = (await sign()) ?? (await sign());
    if (signed) await this.catchUp(signed);
    this.report();
  }

  private async catchUp({ number, toldUntil }: Signed): Promise<void> {
    this.outbox.known = Math.max(this.outbox.known, number);
    if (this.heard < number) await sleep(BEHIND_MS).then(() => turn());
    // An older build tells its changes, but not their number.
    const isBesideOlder = toldUntil < performance.now() - 2 * FORGOTTEN_MS;
    if (this.heard < number || isBesideOlder || this.isBesideOlder) {
      this.heard = Math.max(this.heard, number);
      this.dropAll();
    }
    this.isBesideOlder = isBesideOlder;
    // What was once known for certain stays so.
    this.heardUntil = Math.max(this.heardUntil, toldUntil + TRUSTED_MS);
  }

  private report(): void {
    if (this.areHeard() === this.wereHeard) return;
    this.wereHeard = !this.wereHeard;
    const silence = 'A replica sends no heartbeat: cache entries live 400 ms at most';
    this.logger.log(this.wereHeard ? 'All replicas send heartbeats' : silence);
  }

  /** A message that cannot be read may have been an invalidation, so all entries are dropped. */
  private take(text: string): void {
    try {
      this.hear(JSON.parse(text) as Message);
    } catch (error) {
      this.logger.warn(`A message over Redis cannot be read: ${(error as Error).message}`);
      this.dropAll();
    }
  }

  private hear({ after, n, from, names = [] }: Message): void {
    if (after !== undefined) {
      if (after > this.heard) this.dropAll();
      this.heard = Math.max(this.heard, n);
      // Redis has lost numbers that are known here, and others may not have heard them: a number that nobody has heard.
      const { known } = this.outbox;
      this.outbox.known = n > known && after < known ? n + 1 : Math.max(known, n);
    }
    if (from === this.membership.id || names.length === 0) return;
    note(this.changed, names, LAG_MS);
    for (const listener of this.listeners) listener.drop(names);
    const overtaken = names.filter((name) => this.put.delete(name));
    if (overtaken.length > 0) this.tell(overtaken);
  }

  /** Drops every entry, for when invalidations may have been missed. */
  dropAll(): void {
    this.missedAt = performance.now();
    // A value put into the second tier lately may have arrived there after a removal that was not heard of here.
    for (const name of this.put.keys()) this.outbox.add(name);
    this.put.clear();
    void this.outbox.send();
    for (const listener of this.listeners) listener.dropAll();
  }
}

/** Moves the names to the end, and forgets those noted longer ago. */
function note(times: Map<string, number>, names: readonly string[], forMs: number): void {
  const now = performance.now();
  for (const name of names) {
    times.delete(name);
    times.set(name, now);
  }
  for (const [name, at] of times) {
    if (now - at < forMs) break;
    times.delete(name);
  }
}
