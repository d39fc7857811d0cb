import { Injectable } from '@nestjs/common';
import { DataSource, type ObjectLiteral } from 'typeorm';
import { Cache } from '../cache/cache.js';
import { SharedTier } from '../cache/shared-tier.js';
import { CopyOut } from '../database/copy-out.js';
import { Database } from '../database/database.js';
import { Cursors } from './cursor.js';
import { Leftovers } from './leftovers.js';
import { type RepositoryOptions, ResourceRepository } from './repository.js';
import { type Property, Table } from './table.js';
import { Uploads } from './upload/uploads.js';

/** Makes repositories, for modules that use rows without the routes of a resource. */
@Injectable()
export class ResourceRepositories {
  constructor(
    private readonly dataSource: DataSource,
    private readonly database: Database,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    private readonly cursors: Cursors,
    private readonly leftovers: Leftovers,
    private readonly uploads: Uploads,
    private readonly copyOut: CopyOut,
  ) {}

  /** @throws StartError when the schema does not fit the entity */
  of<T extends ObjectLiteral, K extends Property<T> = never>(
    entity: new () => T,
    options: RepositoryOptions<T, K>,
  ): ResourceRepository<T, K> {
    const table = new Table(this.dataSource.getMetadata(entity), options.shown);
    if (options.parent) this.leftovers.add(table.sql, table.column(options.parent.property).sql);
    const streams = [this.uploads, this.copyOut] as const;
    return new ResourceRepository(table, options, this.database, this.cache, this.shared, this.cursors, ...streams);
  }
}
