import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CONFIG } from '../platform/config.token.js';
import { parseExactly } from '../platform/exact-json.js';
import type { Feed } from '../platform/feed/feed.js';
import { Feeds } from '../platform/feed/feeds.js';
import type { LiveFeed } from '../platform/feed/live-feed.js';
import type { Answer } from '../platform/http/answer.js';
import { notFound } from '../platform/http/problem.js';
import type { Created, StoredRow } from '../platform/resource/creations.js';
import { atLeast, below, contains } from '../platform/resource/filters.js';
import type { IdempotencyKey } from '../platform/resource/idempotency.js';
import { mergePatch } from '../platform/resource/merge-patch.js';
import { ofVersion } from '../platform/resource/of-version.js';
import type { Page } from '../platform/resource/page.js';
import type { Locked, ResourceRepository } from '../platform/resource/repository.js';
import { ResourceRepositories } from '../platform/resource/resource-repositories.js';
import type { Upload } from '../platform/resource/upload/uploads.js';
import type { Collection } from './collection.entity.js';
import type { Found } from './collections.service.js';
import type { DataConfig } from './data.settings.js';
import { DataRecord } from './record.entity.js';
import type { ChangesQuery, ExportQuery, RecordInput, RecordPatch, RecordQuery } from './record.schema.js';
import { recordInputSchema, recordPath, recordSchema } from './record.schema.js';

/** The filters of a list, an export and statistics: a time range, and JSON that `data` must contain. */
export type RecordFilters = Pick<RecordQuery, 'from' | 'to' | 'where'>;

const gone = () => notFound('There is no collection with this name.');
const missing = () => notFound('There is no record with this id.');

/** Reads and changes the records of a collection. The caller's right to it was checked before. */
@Injectable()
export class RecordsService {
  private readonly records: ResourceRepository<DataRecord, 'collectionId'>;
  private readonly live: LiveFeed;

  constructor(
    repositories: ResourceRepositories,
    private readonly feeds: Feeds,
    @Inject(CONFIG) { RECORD_LIMIT_BYTES }: DataConfig,
  ) {
    this.records = repositories.of(DataRecord, {
      shown: recordSchema,
      beside: ['collectionId'],
      parent: { property: 'collectionId', table: 'collections', gone },
      filters: { from: atLeast('occurredAt'), to: below('occurredAt'), where: contains('data') },
      isShared: true,
      rowBytes: RECORD_LIMIT_BYTES,
      most: { data: RECORD_LIMIT_BYTES },
    });
    this.live = feeds.of(this.records.table, this.records.lists);
  }

  get feed(): Feed {
    return this.live.feed;
  }

  /**
   * @returns the record, and whether an earlier request with the same key has created it
   * @throws Problem not-found when the collection was deleted meanwhile, content-too-large, idempotency-key-reused,
   *   conflict
   */
  create({ id: collectionId }: Collection, input: RecordInput, key?: IdempotencyKey): Promise<Created> {
    return this.records.create({ collectionId, ...input }, key);
  }

  createMany({ id: collectionId, name }: Collection, upload: Upload): Promise<Answer> {
    return this.records.createMany({ name, input: recordInputSchema, values: { collectionId } }, upload);
  }

  /**
   * @param collection the collection of that name; as a promise, it and the record are read at the same time
   * @throws Problem not-found
   */
  async get(name: string, collection: Found | Promise<Found>, id: string): Promise<StoredRow> {
    const known = collection instanceof Promise ? undefined : collection?.id;
    const record = await this.records.find(recordPath(name, id), id, known);
    if (!record || record.collectionId !== (await collection)?.id) throw missing();
    return record;
  }

  /** @throws Problem invalid-request for a cursor of another list */
  list({ id: collectionId }: Collection, query: RecordQuery, callerId: string | undefined): Promise<Page> {
    const { limit, cursor, order, ...filters } = query;
    const { from, to, where } = filters;
    const listed = { where: { collectionId }, filters, sort: 'occurredAt', order, limit, cursor } as const;
    return this.records.page(listed, callerId, ['records', collectionId, order, from, to, where]);
  }

  /** The SQL conditions of a collection's filters; `place` inserts a value as a parameter or a literal. */
  conditions({ id: collectionId }: Pick<Collection, 'id'>, filters: RecordFilters, place: (value: string) => string) {
    return this.records.lists.conditions({ where: { collectionId }, filters }, place);
  }

  export({ id: collectionId }: Collection, query: ExportQuery, request: FastifyRequest, allowed: AbortSignal) {
    const { order, ...filters } = query;
    return this.records.export({ where: { collectionId }, filters, sort: 'occurredAt', order }, request, allowed);
  }

  changes({ id }: Collection, query: ChangesQuery, request: FastifyRequest, allowed: AbortSignal): Promise<Answer> {
    const { after, wait, ...filters } = query;
    return this.feeds.answer(this.live, { scopes: [id], filters }, { after, wait }, request, allowed);
  }

  replace(collection: Collection, id: string, input: RecordInput, ifMatch: string | undefined): Promise<StoredRow> {
    return this.change(collection, id, ifMatch, ({ update }) => update(input));
  }

  patch(
    collection: Collection,
    id: string,
    { data: patch, occurredAt }: RecordPatch,
    ifMatch: string | undefined,
  ): Promise<StoredRow> {
    return this.change(collection, id, ifMatch, ({ row, update }) => {
      const { data } = parseExactly(row.json) as RecordInput;
      return update({ data: mergePatch(data, patch ?? {}) as RecordInput['data'], occurredAt });
    });
  }

  /** @throws Problem not-found, precondition-required, precondition-failed */
  remove(collection: Collection, id: string, ifMatch: string | undefined): Promise<void> {
    return this.change(collection, id, ifMatch, ({ remove }) => remove());
  }

  private change<T>(
    collection: Collection,
    id: string,
    ifMatch: string | undefined,
    work: (locked: Locked<DataRecord, 'collectionId'>) => Promise<T>,
  ): Promise<T> {
    const names = [recordPath(collection.name, id)];
    return this.records.change(id, names, ofVersion(ifMatch, missing, work), collection.id);
  }
}
