import { createHmac, type KeyObject, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../../platform/config.token.js';
import { Ticks } from '../../platform/feed/ticks.js';
import { Answer } from '../../platform/http/answer.js';
import { invalid, notFound } from '../../platform/http/problem.js';
import { caching } from '../../platform/http/shared-caches.js';
import { Jobs } from '../../platform/jobs/jobs.js';
import { type IdempotencyKey, REPLAYED } from '../../platform/resource/idempotency.js';
import { ofVersion } from '../../platform/resource/of-version.js';
import type { Page } from '../../platform/resource/page.js';
import type { Locked, ResourceRepository, Stored } from '../../platform/resource/repository.js';
import { ResourceRepositories } from '../../platform/resource/resource-repositories.js';
import { derivedKey } from '../../platform/secrets.js';
import type { Collection } from '../collection.entity.js';
import { collectionPath } from '../collection.schema.js';
import { deliver } from './jobs.js';
import { Outbound } from './outbound.js';
import { Webhook } from './webhook.entity.js';
import { type WebhookInput, type WebhookPatch, type WebhookQuery, webhookSchema } from './webhook.schema.js';

type Beside = 'collectionId' | 'seed' | 'state';
type Row = Stored<Webhook, Beside>;

const missing = () => notFound('There is no webhook with this id.');
const gone = () => notFound('There is no collection with this name.');
const conflicts = { webhooks_most: 'A collection has 20 webhooks at most.' };

/** The webhooks of a collection. The caller's right to it was checked before. */
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
    const parent = { property: 'collectionId', table: 'collections', gone };
    const beside: Beside[] = ['collectionId', 'seed', 'state'];
    this.webhooks = repositories.of(Webhook, { shown: webhookSchema, beside, parent, conflicts });
    this.key = derivedKey(APP_SECRET, 'webhook-secret');
  }

  secretOf(seed: string): string {
    return `whsec_${createHmac('sha256', this.key).update(seed).digest('base64')}`;
  }

  /** @throws Problem invalid-request, conflict, idempotency-key-reused, not-found when the collection was deleted */
  async create({ id: collectionId, name }: Collection, input: WebhookInput, key?: IdempotencyKey): Promise<Answer> {
    this.check(input.url);
    // What was changed before is of no concern to it.
    await this.ticks.now();
    const { row, isReplayed } = await this.webhooks.create({ collectionId, ...input }, key);
    this.wake(row.id);
    const { seed } = await this.find(collectionId, row.id);
    const location = `${collectionPath(name)}/webhooks/${row.id}`;
    return answer(row, 201, this.secretOf(seed), { location, ...(isReplayed ? REPLAYED : {}) });
  }

  list({ id: collectionId }: Collection, query: WebhookQuery, callerId: string): Promise<Page> {
    const listed = {
      where: { collectionId },
      filters: {},
      sort: 'createdAt',
      order: 'desc',
      cursor: undefined,
    } as const;
    return this.webhooks.page({ ...listed, ...query }, callerId, ['webhooks', collectionId]);
  }

  /** @throws Problem not-found */
  async get({ id }: Collection, webhookId: string): Promise<Answer> {
    return answer(await this.find(id, webhookId));
  }

  /** It is tried again at once. @throws Problem as remove(), and invalid-request */
  async patch(collection: Collection, id: string, patch: WebhookPatch, ifMatch: string | undefined): Promise<Answer> {
    if (patch.url !== undefined) this.check(patch.url);
    const changed = await this.change(collection, id, ifMatch, ({ row, update }) => {
      const state = patch.state ?? (row.state === 'off' ? 'off' : 'on');
      const since = state === row.state ? {} : { since: new Date() };
      return update({ ...patch, state, ...since, failures: 0, retryAt: new Date(0) });
    });
    this.wake(id);
    return answer(changed);
  }

  /** Gives it a new secret. @throws Problem as remove() */
  async rotate(collection: Collection, id: string, ifMatch: string | undefined): Promise<Answer> {
    const changed = await this.change(collection, id, ifMatch, ({ row, update }) =>
      update({ oldSeed: row.seed, seed: randomUUID(), rotatedAt: new Date() }),
    );
    return answer(changed, 200, this.secretOf(changed.seed));
  }

  /** @throws Problem not-found, precondition-required, precondition-failed */
  remove(collection: Collection, id: string, ifMatch: string | undefined): Promise<void> {
    return this.change(collection, id, ifMatch, ({ remove }) => remove());
  }

  private async find(collectionId: string, id: string): Promise<Row> {
    const row = await this.webhooks.find(`webhook:${id}`, id);
    if (row?.collectionId !== collectionId) throw missing();
    return row;
  }

  private change<T>(
    collection: Collection,
    id: string,
    ifMatch: string | undefined,
    work: (locked: Locked<Webhook, Beside>) => Promise<T>,
  ): Promise<T> {
    return this.webhooks.change(id, [], ofVersion(ifMatch, missing, work), collection.id);
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
