import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import { SharedTier } from '../platform/cache/shared-tier.js';
import { CONFIG, type Config } from '../platform/config.token.js';
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
import type { Found } from './collections.service.js';
import { DataRecord } from './record.entity.js';
import { type RecordInput, type RecordPatch, type RecordQuery, recordPath } from './record.schema.js';
import type { RecordPageRow, StoredRecord } from './record.statements.js';
import { CREATE_MANY, FIND_KEY, GET_MANY, listStatement, UPDATE } from './record.statements.js';

/** A page that can have no more is not measured: of the usual 20 records. */
const WHOLE_BYTES = 20 * 65_536;
const LOCK_NOT_AVAILABLE = '55P03';

/** A record to be made, under a caller's key if there is one. */
interface Creation extends Partial<IdempotencyKey> {
  collectionId: string;
  data: string;
  occurredAt: string | null;
  fingerprint?: Buffer;
}

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
  /** Were all who ask in one batch, this process would stand still while PostgreSQL works, and the other way round. */
  private readonly reads = new Batch((asked: Asked[]) => this.readMany(asked), 4, 32);
  private readonly creations = new Batch((asked: Creation[]) => this.createMany(asked), 4, 500);

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
    const creation: Creation = { collectionId: collection.id, data: this.toText(data), occurredAt: occurredAt ?? null };
    if (key)
      Object.assign(creation, key, { fingerprint: fingerprintOf('create', ...Object.values(creation).map(String)) });
    const record = await this.creations.get(creation);
    if (record) return { record, isReplayed: false };
    if (key) return { record: await this.earlier(collection, key, creation.fingerprint as Buffer), isReplayed: true };
    throw gone();
  }

  /** In one statement, so that many who create at once pay for one commit. */
  private async createMany(
    asked: Creation[],
  ): Promise<(StoredRecord | undefined | Promise<StoredRecord | undefined>)[]> {
    // The second one with a key finds what the first one made, as if it had come later.
    const first = new Map(
      asked.map((one, at) => [one.key ? `${one.callerId} ${one.key}` : at, one] as const).reverse(),
    );
    const creations = [...first.values()];
    const column = (name: keyof Creation) => creations.map((creation) => creation[name] ?? null);
    const columns = [column('collectionId'), column('data'), column('occurredAt')];
    const keys = [column('callerId'), column('key'), column('fingerprint')];
    try {
      const rows = await this.database.rows<StoredRecord & { n: number }>(CREATE_MANY, [...columns, ...keys]);
      const made = new Map(rows.map((row) => [creations[row.n - 1], row]));
      return asked.map((one) => made.get(one));
    } catch (error) {
      // Another process holds one of the keys, and has for as long as we may wait for a lock.
      if (sqlState(error) !== LOCK_NOT_AVAILABLE || !asked.some(({ key }) => key)) throw error;
      if (asked.length === 1) throw isRunning();
      return asked.map((one) => this.createMany([one]).then(([record]) => record));
    }
  }

  /** What an earlier request with the same key made. */
  private async earlier(
    collection: Collection,
    { callerId, key }: IdempotencyKey,
    fingerprint: Buffer,
  ): Promise<StoredRecord> {
    const [earlier] = await this.database.rows<{ fingerprint: Buffer; body: string | null }>(FIND_KEY, [callerId, key]);
    if (!earlier) throw gone();
    if (!earlier.fingerprint.equals(fingerprint)) throw isOtherRequest();
    if (earlier.body === null) throw isRunning();
    const { id, version, createdAt } = JSON.parse(earlier.body);
    const etag = entityTag({ version, createdAt: new Date(createdAt) });
    return { id, collectionId: collection.id, json: earlier.body, etag };
  }

  /**
   * @param collection of that name, if there is one; it need not be known yet: both are asked for at the same time
   * @throws Problem not-found
   */
  async get(name: string, collection: Found | Promise<Found>, id: string): Promise<StoredRecord> {
    const record = await this.reads.get({ name: recordPath(name, id), id: id.toLowerCase() });
    if (!record || record.collectionId !== (await collection)?.id) throw missing();
    return record;
  }

  /** From the second tier what is there, the rest from the primary: a replica that lags would put an old value back. */
  private async readMany(asked: Asked[]): Promise<(StoredRecord | undefined)[]> {
    const begun = performance.now();
    const kept = await this.shared.getMany<StoredRecord>(asked.map(({ name }) => name));
    const missing = asked.filter((_, at) => kept[at] === undefined);
    const ids = [...new Set(missing.map(({ id }) => id))];
    const rows = ids.length > 0 ? await this.database.rows<StoredRecord>(GET_MANY, [ids]) : [];
    const found = new Map(rows.map((row) => [row.id, row]));
    const present = missing.filter(({ id }) => found.has(id));
    this.shared.setMany(new Map(present.map(({ name, id }) => [name, found.get(id)])), begun);
    return asked.map(({ id }, at) => kept[at] ?? found.get(id));
  }

  /** @throws Problem invalid-request for a foreign cursor */
  async list(collection: Collection, query: RecordQuery, callerId: string | undefined): Promise<Page> {
    const { limit, cursor, order, from, to, where } = query;
    const scope = JSON.stringify(['records', collection.id, order, from, to, where]);
    const after = cursor === undefined ? undefined : this.cursors.open(cursor, scope);
    const isCut = limit * this.config.RECORD_LIMIT_BYTES > WHOLE_BYTES;
    const filter = { collectionId: collection.id, order, from, to, where, after, limit, isCut };
    const { statement, values } = listStatement(filter);
    const [page] = await this.database.replicaRows<RecordPageRow>(callerId, statement, values);
    const { items, at, id } = page as RecordPageRow;
    const nextCursor = at === null ? null : this.cursors.seal([at, id as string], scope);
    return { items: items === null ? [] : [items], nextCursor };
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
      const record = await manager
        .createQueryBuilder(DataRecord, 'r')
        .where('r.id = :id AND r.collectionId = :collectionId', { id, collectionId })
        // What is left of a collection that has gone is removed behind it.
        .andWhere('EXISTS (SELECT FROM collections c WHERE c.id = r.collectionId)')
        .setLock('pessimistic_write')
        .getOne();
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
    if (Buffer.byteLength(text) > limit)
      throw new Problem('content-too-large', `A record's data may have ${limit} bytes.`);
    return text;
  }
}

async function update(manager: EntityManager, { id, occurredAt }: DataRecord, data: string, movedTo?: string) {
  const values = [id, data, movedTo ?? occurredAt.toISOString()];
  const [[changed]] = await manager.query<[StoredRecord[], number]>(UPDATE, values);
  return changed as StoredRecord;
}
