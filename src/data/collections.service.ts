import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import type { Entry } from '../platform/cache/entry.js';
import { Database, type Statement } from '../platform/database/database.js';
import { brokenConstraint } from '../platform/database/database-problem.js';
import type { Caller } from '../platform/http/caller.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import { notFound, Problem } from '../platform/http/problem.js';
import type { Page } from '../platform/resource/page.js';
import type { ResourceRepository } from '../platform/resource/repository.js';
import { ResourceRepositories } from '../platform/resource/resource-repositories.js';
import { SessionsService } from '../users/sessions.service.js';
import { Collection } from './collection.entity.js';
import type { CollectionInput, CollectionQuery } from './collection.schema.js';
import { collectionSchema, collectionTag, tagsOf } from './collection.schema.js';

const FIND: Statement = {
  name: 'collection_find',
  isShort: 'one',
  text: `SELECT id, name, visibility, description, owner_id AS "ownerId", version, created_at AS "createdAt",
           updated_at AS "updatedAt" FROM collections WHERE name = $1`,
};

/** The collection of a name, if there is one. */
export type Found = Collection | null;

/** About how much memory a cached collection takes, without its description. */
const COLLECTION_BYTES = 1000;

const isWriter = (caller: Caller | undefined, { ownerId }: Collection) =>
  caller !== undefined && (caller.id === ownerId || caller.role === 'admin');

/** Whether the collection exists and the caller may read it: anyone if it is public, else its owner and admins. */
export const isReader = (caller: Caller | undefined, collection: Found): collection is Collection =>
  collection !== null && (collection.visibility === 'public' || isWriter(caller, collection));

const missing = () => notFound('There is no collection with this name.');
const taken = () => new Problem('conflict', 'This name is taken.');

/** Reads and changes collections, and checks their callers' rights. */
@Injectable()
export class CollectionsService {
  private readonly collections: ResourceRepository<Collection>;

  constructor(
    repositories: ResourceRepositories,
    private readonly database: Database,
    private readonly cache: Cache,
    private readonly sessions: SessionsService,
  ) {
    this.collections = repositories.of(Collection, { shown: collectionSchema });
  }

  /**
   * A collection from the cache. It is read again if it changed during the read (isSpoiled), since cached answers are
   * made of it. Its tags are known before any such answer exists.
   */
  find(name: string): Entry<Found> | Promise<Entry<Found>> {
    const found = this.cache.fetch(collectionTag(name), async () => {
      const [value = null] = await this.database.rows<Collection>(FIND, [name]);
      return { value, bytes: COLLECTION_BYTES, tags: value ? tagsOf(value) : [], isAbsent: !value };
    });
    return found instanceof Promise ? found.then((entry) => (entry.isSpoiled ? this.find(name) : entry)) : found;
  }

  /** @throws Problem not-found, also when the caller may not read the collection */
  forReading(caller: Caller | undefined, collection: Found): Collection {
    if (!isReader(caller, collection)) throw missing();
    return collection;
  }

  /** @throws Problem not-found as for reading, forbidden when the caller may only read */
  forWriting(caller: Caller, collection: Found): Collection {
    const found = this.forReading(caller, collection);
    assertWriter(caller, found);
    return found;
  }

  /** A page of the collections that the caller may read, sorted by name. */
  list(caller: Caller | undefined, query: CollectionQuery): Promise<Page> {
    const [isPublic, isAdmin] = [{ visibility: 'public' as const }, caller?.role === 'admin'];
    const where = isAdmin ? {} : caller ? [isPublic, { ownerId: caller.id }] : isPublic;
    const listed = { where, filters: {}, sort: 'name', order: 'asc', cursor: undefined, ...query } as const;
    return this.collections.page(listed, caller?.id, ['collections by name', where]);
  }

  /**
   * Creates a collection, or changes the existing one.
   * @param show makes the answer before the commit: after it, an error would report a change that was made as failed
   * @throws Problem conflict when the name is another's, forbidden, precondition-required, precondition-failed
   */
  put<T>(
    who: Caller,
    name: string,
    { visibility, description = null }: CollectionInput,
    ifMatch: string | undefined,
    show: (collection: Collection, isNew: boolean) => T,
  ): Promise<T> {
    const attempt = () =>
      this.changing(who, name, async (manager, caller, collection) => {
        if (!isReader(caller, collection)) {
          // To a caller who may not read it, a private collection is a taken name without a version to match.
          if (ifMatch !== undefined) assertIfMatch(ifMatch, undefined);
          if (collection) throw taken();
          const created = manager.create(Collection, { name, visibility, description, ownerId: caller.id });
          return show(await manager.save(created), true);
        }
        assertWriter(caller, collection);
        assertIfMatch(ifMatch, entityTag(collection));
        Object.assign(collection, { visibility, description });
        return show(await manager.save(collection), false);
      });
    // Another request created it meanwhile, so the answer depends on its owner.
    const again = (error: unknown) => {
      if (brokenConstraint(error) === 'collections_name') return attempt();
      throw error;
    };
    return attempt().catch(again).catch(toProblem);
  }

  /** Deletes a collection. It is gone at once for every reader; its records are removed later (see Leftovers). */
  async remove(who: Caller, name: string, ifMatch: string | undefined): Promise<void> {
    await this.changing(who, name, async (manager, caller, collection) => {
      if (!isReader(caller, collection)) throw missing();
      assertWriter(caller, collection);
      assertIfMatch(ifMatch, entityTag(collection));
      await manager.remove(collection);
    });
  }

  /** @param work gets the caller with the current role, which cannot change during the transaction */
  private changing<T>(
    who: Caller,
    name: string,
    work: (manager: EntityManager, caller: Caller, there: Found) => Promise<T>,
  ): Promise<T> {
    const changed = this.database.transaction(async (manager) => {
      const caller = { ...who, role: await this.sessions.hold(manager, who) };
      const lock = { mode: 'pessimistic_write' } as const;
      return work(manager, caller, await manager.findOne(Collection, { where: { name }, lock }));
    });
    // Also after an error: the connection can be lost after the commit, before its confirmation arrives.
    return changed.finally(() => this.cache.invalidate(collectionTag(name)));
  }
}

function assertWriter(caller: Caller, collection: Collection): void {
  if (!isWriter(caller, collection))
    throw new Problem('forbidden', 'Only the owner and admins may change this collection.');
}

/** The second attempt can fail like the first, when the name was freed and taken again meanwhile. */
function toProblem(error: unknown): never {
  throw brokenConstraint(error) === 'collections_name' ? taken() : error;
}
