import { Injectable } from '@nestjs/common';
import {
  DataSource,
  type EntitySubscriberInterface,
  type ObjectLiteral,
  type QueryRunner,
  type RemoveEvent,
  type SoftRemoveEvent,
  type TransactionCommitEvent,
  type UpdateEvent,
} from 'typeorm';
import { Cache } from '../cache/cache.js';
import { pathOf, type ResourceDefinition } from './definition.js';

type Changed = UpdateEvent<ObjectLiteral> | RemoveEvent<ObjectLiteral>;
type Ended = Pick<TransactionCommitEvent, 'queryRunner'>;

/**
 * Ends what is kept of rows that TypeORM changes by save() and remove(), when they are committed. Of what a query builder or
 * SQL has changed nobody knows which rows it was: whoever does that calls Cache.invalidate().
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

  afterUpdate(event: Changed): void {
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

  /** What seems to have failed may have been committed: a connection can be lost before the word of it comes. */
  afterTransactionRollback({ queryRunner }: Ended): void {
    this.end(queryRunner);
  }

  private note({ metadata, queryRunner, entity, databaseEntity }: Changed): void {
    const definition = this.watched.get(metadata.target);
    const id = databaseEntity?.id ?? entity?.id;
    if (!definition || id === undefined) return;
    const names = this.changed.get(queryRunner) ?? new Set();
    this.changed.set(queryRunner, names.add(pathOf(definition, id)));
  }

  private end(queryRunner: QueryRunner): void {
    const names = this.changed.get(queryRunner);
    if (!names) return;
    this.changed.delete(queryRunner);
    this.cache.invalidate(...names);
  }
}
