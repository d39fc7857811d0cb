import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { InjectMetric } from '@willsoto/nestjs-prometheus';
import type { Counter } from 'prom-client';
import { Webhook as Signer } from 'standardwebhooks';
import type { z } from 'zod';
import { CONFIG, type Config } from '../../config.token.js';
import { Database } from '../../database/database.js';
import type { Change, Feed } from '../../feed/feed.js';
import { reset } from '../../feed/live-feed.js';
import { at, type Position, readPosition, writePosition } from '../../feed/position.js';
import { Ticks } from '../../feed/ticks.js';
import type { Caller } from '../../http/caller.js';
import { type Attempt, Job } from '../../jobs/definition.js';
import { Jobs } from '../../jobs/jobs.js';
import { seldom } from '../../logging/seldom.js';
import { deliver, look, redeliver } from './delivery-jobs.js';
import * as statement from './delivery-statements.js';
import { Outbound } from './outbound.js';
import { WebhooksService } from './webhooks.service.js';

export const DELIVERIES = 'webhook_deliveries_total';

/** Events that are under way at the same time, where order is not asked for. */
const AT_ONCE = 10;
/** Changes that are read at once. */
const PAGE = 20;
/** Events of a webhook that may wait as jobs of their own. */
const MOST_WAITING = 100;
/** After so long, others get their turn. */
const TURN_MS = 10_000;
/** While changes are undelivered, those whose time has come are looked for. */
const LOOK_MS = 1000;
/** A process hears of changes for so long after it has worked a job of webhooks; there is one each minute. */
const HOLD_MS = 90_000;

/** What webhooks can be of. */
export interface WebhookSource {
  /** What one of its items is called: types of events begin with it. */
  name: string;
  feed: Feed;
  /** Whether a user may have the changes of a scope, or of all when it is null. */
  mayHave(scope: string | null, owner: Pick<Caller, 'id' | 'role'>): boolean;
}

interface Target extends Pick<statement.Loaded, 'url'> {
  secrets: string[];
}

type Event = z.infer<typeof redeliver.payload>['event'];

/** Delivers changes to webhooks, each from where it is in the feed. Nothing is looked for while there are none. */
@Injectable()
export class Deliveries {
  /** For how long the oldest change has not been delivered, in seconds, as this process has last seen. */
  oldest = 0;
  private readonly logger = new Logger('Webhooks');
  private readonly sources = new Map<string, WebhookSource>();
  private readonly complain = seldom(({ message }: Error) =>
    this.logger.warn(`Webhooks with changes cannot be found: ${message}`),
  );
  private held: NodeJS.Timeout | undefined;
  private isLooking = false;
  /** The tick up to which all webhooks with changes have been found. */
  private since: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly ticks: Ticks,
    private readonly jobs: Jobs,
    private readonly webhooks: WebhooksService,
    private readonly outbound: Outbound,
    @Inject(CONFIG) private readonly config: Config,
    @InjectMetric(DELIVERIES) private readonly deliveries: Counter,
  ) {
    ticks.onTick(() => this.held && void this.wake());
  }

  add(source: WebhookSource): void {
    this.sources.set(source.feed.table.name, source);
  }

  @Job(look)
  async look(): Promise<void> {
    const [found] = await this.database.rows({ text: statement.ANY }, []);
    if (!found) return;
    await this.database.rows({ text: statement.GO_ON }, [await this.ticks.now(), this.config.FEED_KEPT_S / 2]);
    this.since = null;
    this.hold();
    void this.wake();
  }

  @Job(deliver)
  async deliver({ id }: { id: string }, attempt: Attempt): Promise<void> {
    this.hold();
    const signal = AbortSignal.any([attempt.signal, AbortSignal.timeout(TURN_MS)]);
    while (!signal.aborted) {
      const [webhook] = await this.database.rows<statement.Loaded>({ text: statement.LOAD }, [id]);
      // One of another release's tables is found again by a process that knows it.
      if (!webhook?.isDue || !this.sources.has(webhook.of) || !(await this.page(webhook, signal))) return;
    }
  }

  @Job(redeliver)
  async redeliver({ id, event }: z.infer<typeof redeliver.payload>, { number }: Attempt): Promise<void> {
    this.hold();
    const [webhook] = await this.database.rows<statement.Loaded>({ text: statement.LOAD }, [id]);
    if (!webhook) return;
    if (!this.sources.has(webhook.of)) throw new Error(`changes of ${webhook.of} are not known here`);
    const isPaused = webhook.state === 'off' || webhook.isPaused || !this.sourceOf(webhook);
    const error = isPaused
      ? 'it is off, or its owner may not read these changes'
      : await this.send(this.targetOf(webhook), event);
    const isOver = error === undefined || number > (redeliver.retryLimit ?? 0);
    if (isOver) await this.database.rows({ text: statement.END_WAITING }, [id]);
    // When it was the last attempt, admins find the event among the dead jobs.
    if (error !== undefined) throw new Error(`the webhook ${id}: ${error}`);
  }

  /** Delivers the next page of changes. @returns whether there may be more to do now */
  private async page(webhook: statement.Loaded, signal: AbortSignal): Promise<boolean> {
    const { id, ordered, scope } = webhook;
    const source = this.sourceOf(webhook);
    if (!source) {
      await this.database.rows({ text: statement.FAIL }, [id, 'its owner may not read these changes', true]);
      return false;
    }
    const target = this.targetOf(webhook);
    const tick = await this.ticks.now();
    const from = readPosition(webhook.position) as Position;
    const next = await source.feed.next(from, tick, scope === null ? undefined : [scope], [], PAGE);
    const { changes, position } = next ?? { changes: [reset(tick)], position: at(tick) };
    const end = writePosition(position);
    if (changes.length === 0 && end === webhook.position) return false;
    let { waiting, position: stands } = webhook;
    const size = ordered ? 1 : AT_ONCE;
    for (let from = 0; from === 0 || from < changes.length; from += size) {
      if (signal.aborted) return false;
      const events = changes.slice(from, from + size).map((change) => eventOf(id, source.name, change));
      const errors = await Promise.all(events.map((event) => this.send(target, event)));
      const failed = events.filter((_, place) => errors[place] !== undefined);
      const error = errors.find((one) => one !== undefined) ?? null;
      // Where none gets through the receiver is down, and jobs for all changes meanwhile would fill the database.
      const isDown = failed.length === events.length || waiting + failed.length > MOST_WAITING;
      if (error !== null && (ordered || isDown)) {
        // By 410 a receiver says that it wants no more.
        await this.database.rows({ text: statement.FAIL }, [id, error, error === 'HTTP 410']);
        return false;
      }
      waiting += failed.length;
      const reached = from + size < changes.length ? (changes[from + size - 1] as Change).id : end;
      const moved = await this.move([id, reached, failed.length, error, stands], failed);
      if (moved.length === 0) return false;
      stands = reached;
    }
    return end !== tick;
  }

  /**
   * Stores how far it is, with jobs for the events that failed.
   * @param values of MOVE
   * @returns nothing when it is off, gone, or was moved by another worker
   */
  private move(values: [id: string, ...others: unknown[]], failed: Event[]): Promise<unknown[]> {
    const [id] = values;
    if (failed.length === 0) return this.database.rows({ text: statement.MOVE }, values);
    return this.database.transaction(async (manager) => {
      const [moved] = await manager.query<[unknown[]]>(statement.MOVE, values);
      const again = failed.map((event) => ({ payload: { id, event } }));
      if (moved.length > 0) await this.jobs.enqueueAll(redeliver, again, manager);
      return moved;
    });
  }

  /** @returns undefined when its owner may not have these changes, or no more */
  private sourceOf({ of, scope, ownerId, role }: statement.Loaded): WebhookSource | undefined {
    const source = this.sources.get(of);
    return source?.mayHave(scope, { id: ownerId, role }) ? source : undefined;
  }

  private targetOf({ url, seeds }: statement.Loaded): Target {
    return { url, secrets: seeds.map((seed) => this.webhooks.secretOf(seed)) };
  }

  /** @returns why it is not delivered; undefined when it is */
  private async send({ url, secrets }: Target, { id, body }: Event): Promise<string | undefined> {
    const now = new Date();
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'user-agent': 'floodgate',
      'webhook-id': id,
      'webhook-timestamp': Math.floor(now.getTime() / 1000),
      'webhook-signature': secrets.map((secret) => new Signer(secret).sign(id, now, body)).join(' '),
    };
    const error = await this.outbound.post(url, headers, body).then(
      (status) => (status >= 200 && status < 300 ? undefined : `HTTP ${status}`),
      ({ message }: Error) => message,
    );
    this.deliveries.inc({ outcome: error === undefined ? 'delivered' : 'failed' });
    return error;
  }

  private hold(): void {
    if (!this.held) this.ticks.hold();
    clearTimeout(this.held);
    this.held = setTimeout(() => {
      this.held = undefined;
      this.oldest = 0;
      this.ticks.release();
    }, HOLD_MS).unref();
  }

  private async wake(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    await this.find().catch(this.complain);
    this.isLooking = false;
  }

  /** Enqueues deliveries of what has changed, until all is delivered and there is no later tick. */
  private async find(): Promise<void> {
    for (let isMore = true; isMore && this.held; ) {
      const tick = this.ticks.last ?? null;
      const found = await this.database.rows<statement.Due>({ text: statement.DUE }, [
        this.since,
        [...this.sources.keys()],
      ]);
      const due = found.filter(({ isDue }) => isDue).map(({ id }) => ({ payload: { id }, key: id }));
      if (due.length > 0) await this.jobs.enqueueAll(deliver, due);
      this.oldest = Math.max(0, ...found.map(({ age }) => age));
      // A job that is being worked may have read before this tick, or end its turn with changes left.
      if (due.length === 0) this.since = tick;
      isMore = found.length > 0 || tick !== (this.ticks.last ?? null);
      if (found.length > 0) await sleep(LOOK_MS, undefined, { ref: false });
    }
  }
}

/**
 * The id is the same whenever the change is read. Its content is a part of it, since after a restore the numbers of changes
 * begin again from those of the dump.
 */
const eventOf = (webhookId: string, name: string, { id, kind, json }: Change): Event => ({
  id: `${webhookId}-${kind}-${id.slice(id.lastIndexOf('-') + 1)}-${createHash('sha256').update(json).digest('hex').slice(0, 12)}`,
  body: `{"type":"${name}.${kind}","timestamp":"${new Date().toISOString()}","data":${json}}`,
});
