import { createHmac, type KeyObject, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../../config.token.js';
import { Ticks } from '../../feed/ticks.js';
import { Answer } from '../../http/answer.js';
import { invalid, notFound } from '../../http/problem.js';
import { caching } from '../../http/shared-caches.js';
import { Jobs } from '../../jobs/jobs.js';
import { derivedKey } from '../../secrets.js';
import { type IdempotencyKey, REPLAYED } from '../idempotency.js';
import { ofVersion } from '../of-version.js';
import type { Page } from '../page.js';
import type { Locked, ResourceRepository, Stored } from '../repository.js';
import { ResourceRepositories } from '../resource-repositories.js';
import { deliver } from './delivery-jobs.js';
import { Outbound } from './outbound.js';
import { Webhook } from './webhook.entity.js';
import { type WebhookInput, type WebhookPatch, type WebhookQuery, webhookSchema } from './webhook.schema.js';

type Beside = 'of' | 'scope' | 'ownerId' | 'seed' | 'state';
type Row = Stored<Webhook, Beside>;

/** What the webhooks of a request have in common: those of a collection, or those of a user for a resource. */
export interface Holder {
  path: string;
  where: Partial<Row>;
  /** What a new one is given. */
  values: Pick<Webhook, 'of' | 'scope' | 'ownerId'>;
}

const missing = () => notFound('There is no webhook with this id.');
const conflicts = {
  webhooks_most: 'There are 20 webhooks already, and there may be no more.',
  webhooks_collection: 'The collection was deleted.',
};

/** The webhooks of a holder. The caller's right to it was checked before. */
@Injectable()
export class WebhooksService {
  private readonly webhooks: ResourceRepository<Webhook, Beside>;
  private readonly key: KeyObject;

  constructor(
    repositories: ResourceRepositories,
    private readonly ticks: Ticks,
    private readonly jobs: Jobs,
    private readonly outbound: Outbound,
    @Inject(CONFIG) { APP_SECRET }: Config,
  ) {
    const beside: Beside[] = ['of', 'scope', 'ownerId', 'seed', 'state'];
    this.webhooks = repositories.of(Webhook, { shown: webhookSchema, beside, conflicts });
    this.key = derivedKey(APP_SECRET, 'webhook-secret');
  }

  secretOf(seed: string): string {
    return `whsec_${createHmac('sha256', this.key).update(seed).digest('base64')}`;
  }

  /** @throws Problem invalid-request, conflict, idempotency-key-reused */
  async create(holder: Holder, input: WebhookInput, key?: IdempotencyKey): Promise<Answer> {
    this.check(input.url);
    // What was changed before is of no concern to it.
    await this.ticks.now();
    const { row, isReplayed } = await this.webhooks.create({ ...holder.values, ...input }, key);
    this.wake(row.id);
    const { seed } = await this.find(holder, row.id);
    const location = `${holder.path}/${row.id}`;
    return answer(row, 201, this.secretOf(seed), { location, ...(isReplayed ? REPLAYED : {}) });
  }

  list({ where }: Holder, query: WebhookQuery, callerId: string): Promise<Page> {
    const listed = { where, filters: {}, sort: 'createdAt', order: 'desc', cursor: undefined } as const;
    return this.webhooks.page({ ...listed, ...query }, callerId, ['webhooks', where]);
  }

  /** @throws Problem not-found */
  async get(holder: Holder, id: string): Promise<Answer> {
    return answer(await this.find(holder, id));
  }

  /** It is tried again at once. @throws Problem as remove(), and invalid-request */
  async patch(holder: Holder, id: string, patch: WebhookPatch, ifMatch: string | undefined): Promise<Answer> {
    if (patch.url !== undefined) this.check(patch.url);
    const changed = await this.change(holder, id, ifMatch, ({ row, update }) => {
      const state = patch.state ?? (row.state === 'off' ? 'off' : 'on');
      const since = state === row.state ? {} : { since: new Date() };
      return update({ ...patch, state, ...since, failures: 0, retryAt: new Date(0) });
    });
    this.wake(id);
    return answer(changed);
  }

  /** Gives it a new secret. @throws Problem as remove() */
  async rotate(holder: Holder, id: string, ifMatch: string | undefined): Promise<Answer> {
    const changed = await this.change(holder, id, ifMatch, ({ row, update }) =>
      update({ oldSeed: row.seed, seed: randomUUID(), rotatedAt: new Date() }),
    );
    return answer(changed, 200, this.secretOf(changed.seed));
  }

  /** @throws Problem not-found, precondition-required, precondition-failed */
  remove(holder: Holder, id: string, ifMatch: string | undefined): Promise<void> {
    return this.change(holder, id, ifMatch, ({ remove }) => remove());
  }

  private async find(holder: Holder, id: string): Promise<Row> {
    const row = await this.webhooks.find(`webhook:${id}`, id);
    if (!row || !isOf(holder, row)) throw missing();
    return row;
  }

  private change<T>(
    holder: Holder,
    id: string,
    ifMatch: string | undefined,
    work: (locked: Locked<Webhook, Beside>) => Promise<T>,
  ): Promise<T> {
    const change = ofVersion(ifMatch, missing, work);
    return this.webhooks.change(id, [], (locked) => change(locked && isOf(holder, locked.row) ? locked : undefined));
  }

  /** Jobs look for it within a minute, if this fails. */
  private wake(id: string): void {
    this.jobs.enqueue(deliver, { id }, { key: id }).catch(() => {});
  }

  private check(url: string): void {
    try {
      this.outbound.check(url);
    } catch (error) {
      throw invalid('The body is not valid.', [{ pointer: '/url', detail: (error as Error).message }]);
    }
  }
}

const isOf = ({ where }: Holder, row: Row) =>
  Object.entries(where).every(([member, value]) => row[member as Beside] === value);

function answer(
  row: Pick<Row, 'json' | 'etag'>,
  status = 200,
  secret?: string,
  more: Record<string, string> = {},
): Answer {
  const body = secret === undefined ? row.json : `${row.json.slice(0, -1)},"secret":${JSON.stringify(secret)}}`;
  const headers = { ...(secret === undefined ? caching(false) : { 'cache-control': 'no-store' }), ...more };
  return new Answer(body, { status, etag: row.etag, headers });
}
