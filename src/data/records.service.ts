import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Config } from '../config.js';
import { Cache } from '../platform/cache/cache.js';
import { SharedTier } from '../platform/cache/shared-tier.js';
import { CONFIG } from '../platform/config.token.js';
import { Batch } from '../platform/database/batch.js';
import { Database } from '../platform/database/database.js';
import { sqlState } from '../platform/database/database-problem.js';
import { Cursors } from '../platform/http/cursor.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import { fingerprintOf, type IdempotencyKey, isOtherRequest, isRunning } from '../platform/http/idempotency.js';
import { mergePatch } from '../platform/http/merge-patch.js';
import type { Page } from '../platform/http/page.js';
import { notFound, Problem } from '../platform/http/problem.js';
import type { Collection } from './collection.entity.js';
import { DataRecord } from './record.entity.js';
import { type RecordInput, type RecordPatch, type RecordQuery, recordPath } from './record.schema.js';
import type { ListedRecord, StoredRecord } from './record.statements.js';
import { CREATE, CREATE_ONCE, FIND_KEY, GET_MANY, listStatement, UPDATE } from './record.statements.js';
import { storedLength } from './stored-length.js';

const LOCK_NOT_AVAILABLE = '55P03';

interface Asked {
  /** What it is kept as. */
  name: string;
  id: string;
}

const gone = () => notFound('There is no collection of this name.');
const missing = () => notFound('There is no record with this id.');

/** The records of a collection that the caller is known to be allowed to use. */
@Injectable()
export class RecordsService {
  private readonly reads = new Batch((asked: Asked[]) => this.readMany(asked));

  constructor(
    private readonly database: Database,
    private readonly cursors: Cursors,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * @returns the record, and whether it was made by an earlier request with the same key
   * @throws Problem not-found when the collection has gone meanwhile, content-too-large, idempotency-key-reused, conflict
   */
  async create(
    collection: Collection,
    { data, occurredAt }: RecordInput,
    key?: IdempotencyKey,
  ): Promise<{ record: StoredRecord; isReplayed: boolean }> {
    const values = [collection.id, this.toText(data), occurredAt ?? null];
    if (key) return this.createOnce(collection, values, key);
    const [record] = await this.database.rows<StoredRecord>(CREATE, values);
    if (!record) throw gone();
    return { record, isReplayed: false };
  }

  private async createOnce(collection: Collection, values: (string | null)[], { callerId, key }: IdempotencyKey) {
    const fingerprint = fingerprintOf('create', collection.id, ...values.map(String));
    const made = this.database.rows<StoredRecord>(CREATE_ONCE, [...values, callerId, key, fingerprint]);
    const [record] = await made.catch((error) => {
      // Another request with this key holds it, and has for as long as we may wait for a lock.
      throw sqlState(error) === LOCK_NOT_AVAILABLE ? isRunning() : error;
    });
    if (record) return { record, isReplayed: false };
    const [earlier] = await this.database.rows<{ fingerprint: Buffer; body: string | null }>(FIND_KEY, [callerId, key]);
    if (!earlier) throw gone();
    if (!earlier.fingerprint.equals(fingerprint)) throw isOtherRequest();
    if (earlier.body === null) throw isRunning();
    const { id, version, createdAt } = JSON.parse(earlier.body);
    const etag = entityTag({ version, createdAt: new Date(createdAt) });
    return { record: { id, collectionId: collection.id, json: earlier.body, etag }, isReplayed: true };
  }

  /** @throws Problem not-found */
  async get(collection: Collection, id: string): Promise<StoredRecord> {
    const record = await this.reads.get({ name: recordPath(collection.name, id), id: id.toLowerCase() });
    if (record?.collectionId !== collection.id) throw missing();
    return record;
  }

  /** From the second tier what is there, the rest from the primary: a replica that lags would put an old value back. */
  private async readMany(asked: Asked[]): Promise<(StoredRecord | undefined)[]> {
    const kept = await this.shared.getMany<StoredRecord>(asked.map(({ name }) => name));
    const missing = asked.filter((_, at) => kept[at] === undefined);
    const ids = [...new Set(missing.map(({ id }) => id))];
    const rows = ids.length > 0 ? await this.database.rows<StoredRecord>(GET_MANY, [ids]) : [];
    const found = new Map(rows.map((row) => [row.id, row]));
    this.shared.setMany(missing.flatMap(({ name, id }) => (found.has(id) ? { key: name, value: found.get(id) } : [])));
    return asked.map(({ id }, at) => kept[at] ?? found.get(id));
  }

  /** @throws Problem invalid-request for a foreign cursor */
  list({ id: collectionId }: Collection, query: RecordQuery, callerId: string | undefined): Promise<Page> {
    const { order, from, to, where } = query;
    return this.cursors.page(query, {
      scope: ['records', collectionId, order, from, to, where],
      find: (limit, after) => {
        const { statement, values } = listStatement({ collectionId, order, from, to, where, after, limit });
        return this.database.replicaRows<ListedRecord>(callerId, statement, values);
      },
      show: ({ json }) => json,
      positionOf: ({ occurredAt, id }) => [occurredAt.toISOString(), id],
    });
  }

  async replace(
    collection: Collection,
    id: string,
    { data, occurredAt }: RecordInput,
    ifMatch: string | undefined,
  ): Promise<StoredRecord> {
    const text = this.toText(data);
    return this.change(collection, id, ifMatch, (manager, record) => update(manager, record, text, occurredAt));
  }

  patch(collection: Collection, id: string, patch: RecordPatch, ifMatch: string | undefined): Promise<StoredRecord> {
    return this.change(collection, id, ifMatch, (manager, record) => {
      const data = mergePatch(record.data, patch.data ?? {}) as Record<string, unknown>;
      return update(manager, record, this.toText(data), patch.occurredAt);
    });
  }

  /** @throws Problem not-found, precondition-required, precondition-failed */
  async remove(collection: Collection, id: string, ifMatch: string | undefined): Promise<void> {
    await this.change(collection, id, ifMatch, (manager, record) => manager.remove(record));
  }

  private change<T>(
    { id: collectionId, name }: Collection,
    id: string,
    ifMatch: string | undefined,
    work: (manager: EntityManager, record: DataRecord) => Promise<T>,
  ): Promise<T> {
    const changed = this.database.transaction(async (manager) => {
      const lock = { mode: 'pessimistic_write' } as const;
      const record = await manager.findOne(DataRecord, { where: { id, collectionId }, lock });
      if (!record) throw missing();
      assertIfMatch(ifMatch, entityTag(record));
      return work(manager, record);
    });
    // Also when it seems to have failed: a connection can be lost between the commit and the word of it.
    return changed.finally(() => this.cache.invalidate(recordPath(name, id)));
  }

  /** @throws Problem content-too-large */
  private toText(data: Record<string, unknown>): string {
    const text = JSON.stringify(data);
    const limit = this.config.RECORD_LIMIT_BYTES;
    if (storedLength(text) > limit) throw new Problem('content-too-large', `A record's data may have ${limit} bytes.`);
    return text;
  }
}

async function update(manager: EntityManager, { id, occurredAt }: DataRecord, data: string, movedTo?: string) {
  const values = [id, data, movedTo ?? occurredAt.toISOString()];
  const [[changed]] = await manager.query<[StoredRecord[], number]>(UPDATE, values);
  return changed as StoredRecord;
}
