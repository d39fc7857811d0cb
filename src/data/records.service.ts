import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Config } from '../config.js';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { Cursors } from '../platform/http/cursor.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import { parseJson } from '../platform/http/json.js';
import { mergePatch } from '../platform/http/merge-patch.js';
import type { Page } from '../platform/http/page.js';
import { invalid, type Mistake, notFound, Problem } from '../platform/http/problem.js';
import type { Collection } from './collection.entity.js';
import { DataRecord } from './record.entity.js';
import type { RecordInput, RecordPatch, RecordQuery } from './record.schema.js';
import {
  CREATE,
  GET,
  type ListedRecord,
  listStatement,
  type StoredRecord,
  UPDATE,
} from './record.statements.js';

const missing = () => notFound('There is no record with this id.');

/** The records of a collection that the caller is known to be allowed to use. */
@Injectable()
export class RecordsService {
  constructor(
    private readonly database: Database,
    private readonly cursors: Cursors,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** @throws Problem not-found when the collection has gone meanwhile, content-too-large */
  async create(collection: Collection, { data, occurredAt }: RecordInput): Promise<StoredRecord> {
    const [record] = await this.database.rows<StoredRecord>(CREATE, [
      collection.id,
      this.toText(data),
      occurredAt ?? null,
    ]);
    if (!record) throw notFound('There is no collection of this name.');
    return record;
  }

  /** @throws Problem not-found */
  async get(collection: Collection, id: string): Promise<StoredRecord> {
    const [record] = await this.database.rows<StoredRecord>(GET, [id, collection.id]);
    if (!record) throw missing();
    return record;
  }

  /** @throws Problem invalid-request for a `where` that is no JSON object, or a foreign cursor */
  async list(collection: Collection, query: RecordQuery): Promise<Page> {
    const { limit, cursor, order, from, to } = query;
    const where = query.where === undefined ? undefined : parseWhere(query.where);
    const scope = JSON.stringify(['records', collection.id, order, from, to, where]);
    const after = cursor === undefined ? undefined : this.cursors.open(cursor, scope);
    const { statement, values } = listStatement({
      collectionId: collection.id,
      order,
      from,
      to,
      where,
      after,
      limit: limit + 1,
    });
    const found = await this.database.rows<ListedRecord>(statement, values);
    const page = found.slice(0, limit);
    const last = page.at(-1);
    return {
      items: page.map(({ json }) => json),
      nextCursor:
        last && found.length > limit
          ? this.cursors.seal([last.occurredAt.toISOString(), last.id], scope)
          : null,
    };
  }

  replace(
    collection: Collection,
    id: string,
    { data, occurredAt }: RecordInput,
    ifMatch: string | undefined,
  ): Promise<StoredRecord> {
    const text = this.toText(data);
    return this.change(collection, id, ifMatch, (record) => [
      text,
      occurredAt ?? record.occurredAt.toISOString(),
    ]);
  }

  patch(
    collection: Collection,
    id: string,
    patch: RecordPatch,
    ifMatch: string | undefined,
  ): Promise<StoredRecord> {
    return this.change(collection, id, ifMatch, (record) => {
      const data = mergePatch(record.data, patch.data ?? {}) as Record<string, unknown>;
      return [this.toText(data), patch.occurredAt ?? record.occurredAt.toISOString()];
    });
  }

  /** @throws Problem not-found, precondition-required, precondition-failed */
  async remove(collection: Collection, id: string, ifMatch: string | undefined): Promise<void> {
    await this.database.transaction(async (manager) => {
      await manager.remove(await this.lock(manager, collection, id, ifMatch));
    });
  }

  private change(
    collection: Collection,
    id: string,
    ifMatch: string | undefined,
    next: (record: DataRecord) => [data: string, occurredAt: string],
  ): Promise<StoredRecord> {
    return this.database.transaction(async (manager) => {
      const record = await this.lock(manager, collection, id, ifMatch);
      const [[changed]] = await manager.query<[StoredRecord[], number]>(UPDATE, [id, ...next(record)]);
      return changed as StoredRecord;
    });
  }

  private async lock(
    manager: EntityManager,
    collection: Collection,
    id: string,
    ifMatch: string | undefined,
  ): Promise<DataRecord> {
    const record = await manager.findOne(DataRecord, {
      where: { id, collectionId: collection.id },
      lock: { mode: 'pessimistic_write' },
    });
    if (!record) throw missing();
    assertIfMatch(ifMatch, entityTag(record));
    return record;
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

/** @throws Problem invalid-request that names the parameter, wherever in it the flaw is */
function parseWhere(text: string): string {
  const refuse = (detail: string) => invalid('A parameter is not valid.', [{ pointer: 'where', detail }]);
  let value: unknown;
  try {
    value = parseJson(Buffer.from(text), 'where');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const [mistake] = (error.members.errors as Mistake[] | undefined) ?? [];
    throw refuse(mistake ? `${mistake.pointer} ${mistake.detail}` : 'must be a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('must be a JSON object');
  }
  return JSON.stringify(value);
}
