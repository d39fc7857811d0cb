import { randomUUID } from 'node:crypto';
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleInit } from '@nestjs/common';
import { Injectable, Logger } from '@nestjs/common';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';

/** Old and new builds run side by side during a rollout: each hears its own kind only if this is raised. */
export const KEY_VERSION = 'floodgate1';
const CHANNEL = `${KEY_VERSION}:invalidations`;

const HEARTBEAT_MS = 250;
/** Silence after which messages may have been lost; entries then live 400 ms, which makes 1 s until a change is seen. */
const SILENCE_MS = 600;
/** A process that fell silent without a word may be cut off from Redis and still write: the second tier's time is waited for. */
export const SECOND_TIER_TTL_MS = 60_000;
/** A process that has been silent for so long has no part of the limits any more. */
const GONE_AFTER_MS = 5000;
/** A process that has stood still for so long knows nothing of what changed meanwhile, until its next heartbeat. */
const STALL_MS = 1000;
/** All processes of the last while: who ended without a word before this one began may owe removals from the second tier. */
const PRESENT = `${KEY_VERSION}:present`;
const ENTER = `
  local now = tonumber(redis.call('TIME')[1])
  redis.pcall('ZADD', KEYS[1], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
  return redis.call('ZRANGE', KEYS[1], 0, -1)`;
/** Keys whose removal from the second tier is owed at most. */
const OWED = 100_000;
/** Of these, in one call, which has its time-out. */
const AT_ONCE = 1000;
/** How long a read may take whose result is put into the second tier, and it may turn out to have been overtaken by a message. */
const OVERTAKEN_MS = 5000;

interface Message {
  from: string;
  /** How many invalidations the sender has sent, with this one. */
  n: number;
  names?: string[];
  /** When it left, by the sender's clock, which nobody else can read. */
  at: number;
  /** The sender's own messages come back late: so it is with what others hear of it. */
  isLate?: boolean;
  /** The sender ends in order: nothing more is to be expected of it, though what it has in hand may have something to tell. */
  bye?: true;
}

interface Listener {
  drop(names: readonly string[]): void;
  dropAll(): void;
}

/**
 * Tells the other replicas what has changed, and hears it from them, over Redis. Every message is numbered and a heartbeat
 * repeats the number, so that a lost one is noticed: then all is dropped. While anybody is silent, `areHeard` is false; when
 * that begins and ends all is dropped, too.
 */
@Injectable()
export class Invalidations implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  /** Whether nothing that others changed can have been missed for longer than SILENCE_MS. */
  areHeard: boolean;
  private readonly logger = new Logger(Invalidations.name);
  private readonly id = randomUUID();
  private sent = 0;
  private readonly senders = new Map<string, { n: number; seenAt: number }>();
  private present: string[] | undefined;
  private awakeUntil = Number.POSITIVE_INFINITY;
  private readonly owed = new Set<string>();
  /** Keys put into the second tier lately, oldest first. */
  private readonly put = new Map<string, number>();
  /** Names changed lately, here or elsewhere, the last one last. */
  private readonly changed = new Map<string, number>();
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

  /** The same at a time of performance.now(): not after this process has stood still. */
  areHeardAt(now: number): boolean {
    return this.areHeard && now < this.awakeUntil;
  }

  /** Processes that share Redis and were heard lately, this one among them; 1 without Redis. */
  get replicas(): number {
    const since = performance.now() - GONE_AFTER_MS;
    return Math.max([...this.senders.values()].filter(({ seenAt }) => seenAt > since).length, 1);
  }

  onModuleInit(): void {
    if (this.redis.isConfigured) this.redis.listen(CHANNEL, (text) => this.take(text));
  }

  onApplicationBootstrap(): void {
    if (this.redis.isConfigured) this.background.every(HEARTBEAT_MS, 'heartbeat over Redis', () => this.beat());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isLeaving = true;
    await this.redis.attempt((client) => client.zRem(PRESENT, this.id), 0);
    await this.send({});
  }

  /** Removes names from the second tier and tells all replicas; what fails is made good before the next heartbeat. */
  tell(names: string[]): void {
    if (!this.redis.isConfigured) return;
    note(this.changed, names);
    for (const name of names) this.owe(name);
    void this.settle(names);
  }

  /** Whether what the second tier has under a name may be from before a change that is known here. */
  hasChanged(name: string): boolean {
    return (
      this.owed.has(name) || (this.changed.get(name) ?? Number.NEGATIVE_INFINITY) > performance.now() - OVERTAKEN_MS
    );
  }

  /**
   * To be called before keys are put into the second tier: if a change of one is heard of later, it is taken out again.
   * @param since when what is put in began to be read, in ms of performance.now()
   * @returns those of which no change has been heard since
   */
  putting(names: readonly string[], since: number): string[] {
    if (since < Math.max(this.missedAt, performance.now() - OVERTAKEN_MS)) return [];
    const current = names.filter((name) => (this.changed.get(name) ?? 0) < since);
    note(this.put, current);
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
    // What was loaded during a silence, or before it was noticed, may have missed its end.
    if (this.areHeard !== wereHeard) {
      this.logger.log(this.areHeard ? 'All replicas are heard' : 'A replica is not heard: nothing is kept for long');
      this.dropAll();
    }
    // Others may trust the second tier again only when it holds nothing that we have changed: no heartbeat before that.
    await this.settle([...this.owed]);
    if (!this.isLeaving) this.present = (await this.enter()) ?? this.present;
  }

  /** @returns the ids of all processes of the last while, if Redis says so. When it is full it does, but does not take this one's */
  private enter(): Promise<string[] | undefined> {
    const given = { keys: [PRESENT], arguments: [this.id, String(SECOND_TIER_TTL_MS / 1000 + 1)] };
    return this.redis.attempt(async (client) => (await client.eval(ENTER, given)) as string[] | undefined, undefined);
  }

  /** What is no message of ours may have been meant to be one. */
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
    // What comes late, if never so regularly, is no sign that all is known.
    const seenAt = from === this.id ? at : isLate ? (sender?.seenAt ?? 0) : performance.now();
    const isGap = (sender?.n ?? 0) !== (names ? n - 1 : n);
    if (bye) this.senders.delete(from);
    else this.senders.set(from, { n, seenAt });
    if (from === this.id) return;
    if (isGap) this.dropAll();
    if (!names) return;
    note(this.changed, names);
    for (const listener of this.listeners) listener.drop(names);
    const overtaken = names.filter((name) => this.put.delete(name));
    if (overtaken.length > 0) this.tell(overtaken);
  }

  /** To be called when it is not known what of all that was read is still so. */
  dropAll(): void {
    this.missedAt = performance.now();
    // What was put into the second tier lately may come there behind a removal of which nothing was heard.
    for (const name of this.put.keys()) this.owe(name);
    this.put.clear();
    for (const listener of this.listeners) listener.dropAll();
  }

  private owe(name: string): void {
    this.owed.add(name);
    if (this.owed.size > OWED) this.owed.delete(this.owed.values().next().value as string);
  }

  private async settle(names: string[]): Promise<void> {
    if (names.length === 0) return this.send({});
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const some = names.slice(at, at + AT_ONCE);
      const keys = some.map((name) => `${KEY_VERSION}:${name}`);
      if (!(await this.redis.attempt(async (client) => (await client.del(keys)) >= 0, false))) return;
      for (const name of some) this.owed.delete(name);
      await this.send({ names: some });
    }
  }

  /** Numbers are given in the order in which messages leave; one that fails leaves a gap, by which it is noticed. */
  private async send(message: Partial<Message>): Promise<void> {
    if (message.names) this.sent++;
    const at = performance.now();
    const isLate = at - (this.senders.get(this.id)?.seenAt ?? at) > SILENCE_MS;
    const bye = this.isLeaving || undefined;
    const text = JSON.stringify({ from: this.id, n: this.sent, at, isLate, bye, ...message });
    await this.redis.attempt(async (client) => (await client.publish(CHANNEL, text)) >= 0, false);
  }
}

/** Notes the names as the last ones, and forgets those of more than OVERTAKEN_MS ago. */
function note(times: Map<string, number>, names: readonly string[]): void {
  const now = performance.now();
  for (const name of names) {
    times.delete(name);
    times.set(name, now);
  }
  for (const [name, at] of times) {
    if (now - at < OVERTAKEN_MS) break;
    times.delete(name);
  }
}
