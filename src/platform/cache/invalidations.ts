import { randomUUID } from 'node:crypto';
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleInit } from '@nestjs/common';
import { Injectable, Logger } from '@nestjs/common';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';

/** Raise this when keys or messages change: old and new builds run side by side during a rollout. */
export const KEY_VERSION = 'floodgate1';
const CHANNEL = `${KEY_VERSION}:invalidations`;

const HEARTBEAT_MS = 250;
/** Messages of a replica silent for so long may be lost. Entries then live 400 ms, so a change shows within 1 s. */
const SILENCE_MS = 600;
/** The second tier's TTL. A replica without Redis may still write to PostgreSQL, so it counts as silent for as long. */
export const SECOND_TIER_TTL_MS = 60_000;
/** A replica silent for so long is no longer counted when limits are divided. */
const GONE_AFTER_MS = 5000;
/** A process that stalled for so long may have missed changes, until its next heartbeat. */
const STALL_MS = 1000;
/** Recent replicas. One that crashed before this process started may have left changed rows in the second tier. */
const PRESENT = `${KEY_VERSION}:present`;
const ENTER = `
  local now = tonumber(redis.call('TIME')[1])
  redis.pcall('ZADD', KEYS[1], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
  return redis.call('ZRANGE', KEYS[1], 0, -1)`;
/** The most keys that may wait for their removal from the second tier. */
const MAX_PENDING = 100_000;
/** Keys removed in one call, which has to end within its time-out. */
const KEYS_PER_CALL = 1000;
/** A read that takes longer is not put into the second tier. For as long, a late invalidation removes a value again. */
const OVERTAKEN_MS = 5000;
/** What a lost Redis did within so long, the one in its place may lack: its copy was not up to date. */
const LAG_MS = 10_000;

interface Message {
  from: string;
  /** How many invalidations the sender has sent, including this one. */
  n: number;
  names?: string[];
  /** When it was sent, by the sender's own clock. */
  at: number;
  /** The sender gets its own messages late, so the others do too. */
  isLate?: boolean;
  /** The sender shuts down: it sends no more heartbeats, though its running requests may send invalidations. */
  bye?: true;
}

interface Listener {
  drop(names: readonly string[]): void;
  dropAll(): void;
}

/**
 * Exchanges invalidations with the other replicas over Redis. Messages are numbered, and heartbeats repeat the last
 * number, so that a gap shows a lost message: then all entries are dropped. While a replica sends no heartbeat,
 * `areHeard` is false; all entries are dropped when that begins and when it ends.
 */
@Injectable()
export class Invalidations implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  /** Whether every replica was heard within SILENCE_MS. */
  areHeard: boolean;
  private readonly logger = new Logger(Invalidations.name);
  private readonly id = randomUUID();
  private sent = 0;
  private readonly senders = new Map<string, { n: number; seenAt: number }>();
  private present: string[] | undefined;
  private awakeUntil = Number.POSITIVE_INFINITY;
  /** Names to be removed from the second tier. */
  private readonly pending = new Set<string>();
  /** Names put into the second tier within OVERTAKEN_MS, oldest first. */
  private readonly put = new Map<string, number>();
  /** Names changed on any replica within LAG_MS, and of these on this one, oldest first. */
  private readonly changed = new Map<string, number>();
  private readonly told = new Map<string, number>();
  private missedAt = 0;
  private isLeaving = false;
  private readonly listeners: Listener[] = [];

  constructor(
    private readonly redis: Redis,
    private readonly background: Background,
  ) {
    this.areHeard = !redis.isConfigured;
  }

  listen(listener: Listener): void {
    this.listeners.push(listener);
  }

  /** `areHeard` at a time of performance.now(); false when this process has stalled since its last heartbeat. */
  areHeardAt(now: number): boolean {
    return this.areHeard && now < this.awakeUntil;
  }

  /** Replicas heard within GONE_AFTER_MS, including this one; 1 without Redis. */
  get replicas(): number {
    const since = performance.now() - GONE_AFTER_MS;
    return Math.max([...this.senders.values()].filter(({ seenAt }) => seenAt > since).length, 1);
  }

  onModuleInit(): void {
    if (this.redis.isConfigured) this.redis.listen(CHANNEL, (text) => this.take(text));
    this.redis.onLoss(() => this.doubt());
  }

  onApplicationBootstrap(): void {
    if (this.redis.isConfigured) this.background.every(HEARTBEAT_MS, 'heartbeat over Redis', () => this.beat());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isLeaving = true;
    await this.redis.attempt((client) => client.zRem(PRESENT, this.id), 0);
    await this.send({});
  }

  /** Removes names from the second tier and tells all replicas. What fails is tried again before the next heartbeat. */
  tell(names: string[]): void {
    if (!this.redis.isConfigured) return;
    for (const times of [this.changed, this.told]) note(times, names, LAG_MS);
    for (const name of names) this.addPending(name);
    void this.removeAndTell(names);
  }

  /** After the loss of a Redis: the names count as just changed until their values expire, and are removed again. */
  private doubt(): void {
    const now = performance.now();
    for (const [name, at] of this.changed) this.changed.set(name, at > now ? at : now + SECOND_TIER_TTL_MS);
    for (const name of this.told.keys()) this.addPending(name);
  }

  /** Whether the second tier may hold a value from before a change that is known here. */
  hasChanged(name: string): boolean {
    return (
      this.pending.has(name) || (this.changed.get(name) ?? Number.NEGATIVE_INFINITY) > performance.now() - OVERTAKEN_MS
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
    const now = performance.now();
    this.awakeUntil = now + STALL_MS;
    for (const [id, { seenAt }] of this.senders) if (now - seenAt > SECOND_TIER_TTL_MS) this.senders.delete(id);
    const wereHeard = this.areHeard;
    const isSilent = (sender: { seenAt: number }) => now - sender.seenAt > SILENCE_MS;
    const areAllKnown = this.present?.every((id) => this.senders.has(id)) ?? false;
    this.areHeard = areAllKnown && this.senders.has(this.id) && ![...this.senders.values()].some(isSilent);
    // Entries loaded during the silence, or before it was noticed, may have missed an invalidation.
    if (this.areHeard !== wereHeard) {
      const silence = 'A replica sends no heartbeat: cache entries live 400 ms at most';
      this.logger.log(this.areHeard ? 'All replicas send heartbeats' : silence);
      this.dropAll();
    }
    // No heartbeat before this: the others trust the second tier again once they hear this replica.
    await this.removeAndTell([...this.pending]);
    if (!this.isLeaving) this.present = (await this.enter()) ?? this.present;
  }

  /** @returns the ids of recent replicas, if Redis answers. A full Redis answers, but does not add this one */
  private enter(): Promise<string[] | undefined> {
    const given = { keys: [PRESENT], arguments: [this.id, String(SECOND_TIER_TTL_MS / 1000 + 1)] };
    return this.redis.attempt(async (client) => (await client.eval(ENTER, given)) as string[] | undefined, undefined);
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

  private hear({ from, n, names, at, isLate, bye }: Message): void {
    const sender = this.senders.get(from);
    // A late message, however regular, does not show that everything before it has arrived.
    const seenAt = from === this.id ? at : isLate ? (sender?.seenAt ?? 0) : performance.now();
    const isGap = (sender?.n ?? 0) !== (names ? n - 1 : n);
    if (bye) this.senders.delete(from);
    else this.senders.set(from, { n, seenAt });
    if (from === this.id) return;
    if (isGap) this.dropAll();
    if (!names) return;
    note(this.changed, names, LAG_MS);
    for (const listener of this.listeners) listener.drop(names);
    const overtaken = names.filter((name) => this.put.delete(name));
    if (overtaken.length > 0) this.tell(overtaken);
  }

  /** Drops every entry, for when invalidations may have been missed. */
  dropAll(): void {
    this.missedAt = performance.now();
    // A value put into the second tier lately may have arrived there after a removal that was not heard of here.
    for (const name of this.put.keys()) this.addPending(name);
    this.put.clear();
    for (const listener of this.listeners) listener.dropAll();
  }

  private addPending(name: string): void {
    this.pending.add(name);
    if (this.pending.size > MAX_PENDING) this.pending.delete(this.pending.values().next().value as string);
  }

  private async removeAndTell(names: string[]): Promise<void> {
    if (names.length === 0) return this.send({});
    for (let at = 0; at < names.length; at += KEYS_PER_CALL) {
      const some = names.slice(at, at + KEYS_PER_CALL);
      const keys = some.map((name) => `${KEY_VERSION}:${name}`);
      if (!(await this.redis.attempt(async (client) => (await client.del(keys)) >= 0, false))) return;
      for (const name of some) this.pending.delete(name);
      await this.send({ names: some });
    }
  }

  /** Numbers messages in the order of sending, so that a failed one leaves a gap. */
  private async send(message: Partial<Message>): Promise<void> {
    if (message.names) this.sent++;
    const at = performance.now();
    const isLate = at - (this.senders.get(this.id)?.seenAt ?? at) > SILENCE_MS;
    const bye = this.isLeaving || undefined;
    const text = JSON.stringify({ from: this.id, n: this.sent, at, isLate, bye, ...message });
    await this.redis.attempt(async (client) => (await client.publish(CHANNEL, text)) >= 0, false);
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
