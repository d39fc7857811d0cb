import { Injectable } from '@nestjs/common';
import {
  DataSource,
  type EntityMetadata,
  type EntitySubscriberInterface,
  type InsertEvent,
  type ObjectLiteral,
  type QueryRunner,
  type RemoveEvent,
  type SoftRemoveEvent,
  type TransactionCommitEvent,
  type UpdateEvent,
} from 'typeorm';
import { Cache } from '../cache/cache.js';
import { pathOf, type ResourceDefinition } from './definition.js';

interface Changed {
  metadata: EntityMetadata;
  queryRunner: QueryRunner;
  entity?: ObjectLiteral | undefined;
  databaseEntity?: ObjectLiteral | undefined;
}
type Ended = Pick<TransactionCommitEvent, 'queryRunner'>;

/**
 * Drops cached rows that TypeORM changes by save() and remove(), at the commit. The rows that a query builder or SQL
 * changes are not known here: such code must call Cache.invalidate() itself.
 */
@Injectable()
export class RowChanges implements EntitySubscriberInterface {
  private readonly watched = new Map<unknown, { path: string }>();
  private readonly changed = new WeakMap<QueryRunner, Set<string>>();

  constructor(
    dataSource: DataSource,
    private readonly cache: Cache,
  ) {
    dataSource.subscribers.push(this);
  }

  watch<T extends ObjectLiteral>(definition: ResourceDefinition<T>): void {
    this.watched.set(definition.entity, definition);
  }

  /** An id may be chosen by the code, and a "not found" for it may be cached. */
  afterInsert(event: InsertEvent<ObjectLiteral>): void {
    this.note(event);
  }

  afterUpdate(event: UpdateEvent<ObjectLiteral>): void {
    this.note(event);
  }

  afterRemove(event: RemoveEvent<ObjectLiteral>): void {
    this.note(event);
  }

  afterSoftRemove(event: SoftRemoveEvent<ObjectLiteral>): void {
    this.note(event);
  }

  afterTransactionCommit({ queryRunner }: Ended): void {
    this.end(queryRunner);
  }

  /** Drops rows here too, since a commit may have succeeded when the connection was lost before its confirmation. */
  beforeTransactionRollback({ queryRunner }: Ended): void {
    const names = this.changed.get(queryRunner);
    if (names) this.cache.invalidate(...names);
  }

  afterTransactionRollback({ queryRunner }: Ended): void {
    this.end(queryRunner);
  }

  private note({ metadata, queryRunner, entity, databaseEntity }: Changed): void {
    const definition = this.watched.get(metadata.target);
    const id = databaseEntity?.id ?? entity?.id;
    if (!definition || id === undefined) return;
    const name = pathOf(definition, id);
    const names = this.changed.get(queryRunner) ?? new Set();
    // Outside a transaction the change is committed already.
    if (queryRunner.isTransactionActive) this.changed.set(queryRunner, names.add(name));
    else this.cache.invalidate(name);
  }

  private end(queryRunner: QueryRunner): void {
    const names = this.changed.get(queryRunner);
    // A nested transaction ends with the outer one.
    if (!names || queryRunner.isTransactionActive) return;
    this.changed.delete(queryRunner);
    this.cache.invalidate(...names);
  }
}
