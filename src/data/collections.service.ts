import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import type { Entry } from '../platform/cache/entry.js';
import { Database, type Statement } from '../platform/database/database.js';
import { brokenConstraint } from '../platform/database/database-problem.js';
import type { Caller } from '../platform/http/caller.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import { notFound, Problem } from '../platform/http/problem.js';
import { Cursors } from '../platform/resource/cursor.js';
import type { Page } from '../platform/resource/page.js';
import { SessionsService } from '../users/sessions.service.js';
import { Collection } from './collection.entity.js';
import type { CollectionInput, CollectionQuery } from './collection.schema.js';
import { collectionTag, presentCollection, tagsOf } from './collection.schema.js';

const FIND: Statement = {
  name: 'collection_find',
  isShort: 'one',
  text: `SELECT id, name, visibility, description, owner_id AS "ownerId", version, created_at AS "createdAt",
           updated_at AS "updatedAt" FROM collections WHERE name = $1`,
};

/** What there is under a name. */
export type Found = Collection | null;

/** A collection in memory, its description left out. */
const COLLECTION_BYTES = 1000;

const isWriter = (caller: Caller | undefined, { ownerId }: Collection) =>
  caller !== undefined && (caller.id === ownerId || caller.role === 'admin');

/** Who may read a collection that is there: anyone if it is public, else its owner and admins. */
export const isReader = (caller: Caller | undefined, collection: Found): collection is Collection =>
  collection !== null && (collection.visibility === 'public' || isWriter(caller, collection));

const missing = () => notFound('There is no collection of this name.');
const taken = () => new Problem('conflict', 'This name is taken.');

/** Collections, and who may do what with them. */
@Injectable()
export class CollectionsService {
  constructor(
    @InjectRepository(Collection) private readonly collections: Repository<Collection>,
    private readonly database: Database,
    private readonly cursors: Cursors,
    private readonly cache: Cache,
    private readonly sessions: SessionsService,
  ) {}

  /**
   * A collection as it is kept. Answers that are made of it are kept as well, so it is never one that changed while it was
   * being read; and its tags are known before there is any such answer.
   */
  find(name: string): Entry<Found> | Promise<Entry<Found>> {
    const found = this.cache.fetch(collectionTag(name), async () => {
      const [value = null] = await this.database.rows<Collection>(FIND, [name]);
      return { value, bytes: COLLECTION_BYTES, tags: value ? tagsOf(value) : [], isAbsent: !value };
    });
    return found instanceof Promise ? found.then((entry) => (entry.isSpoiled ? this.find(name) : entry)) : found;
  }

  /** @throws Problem not-found also for a collection that the caller may not read */
  forReading(caller: Caller | undefined, collection: Found): Collection {
    if (!isReader(caller, collection)) throw missing();
    return collection;
  }

  /** @throws Problem not-found as for reading, forbidden when it may only be read */
  forWriting(caller: Caller, collection: Found): Collection {
    const found = this.forReading(caller, collection);
    assertWriter(caller, found);
    return found;
  }

  /** The collections that the caller may read, by name. */
  list(caller: Caller | undefined, page: CollectionQuery): Promise<Page> {
    const isAdmin = caller?.role === 'admin';
    return this.cursors.page(page, {
      scope: ['collections', isAdmin ? 'admin' : caller?.id],
      find: (limit, after) => {
        const query = this.collections.createQueryBuilder('c').orderBy('c.name').limit(limit);
        if (!isAdmin) query.andWhere(`(c.visibility = 'public' OR c.ownerId = :owner)`, { owner: caller?.id ?? null });
        if (after) query.andWhere('c.name > :name', { name: after[0] });
        return query.getMany();
      },
      show: presentCollection,
      positionOf: ({ name }) => [name],
    });
  }

  /**
   * Makes a collection, or changes it when it is there.
   * @param show makes the answer, before the commit: behind it, a failure would be told of what is done
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
          // To a stranger, a private collection is a name that is taken, and nothing that could match.
          if (ifMatch !== undefined) assertIfMatch(ifMatch, undefined);
          if (collection) throw taken();
          const made = manager.create(Collection, { name, visibility, description, ownerId: caller.id });
          return show(await manager.save(made), true);
        }
        assertWriter(caller, collection);
        assertIfMatch(ifMatch, entityTag(collection));
        Object.assign(collection, { visibility, description });
        return show(await manager.save(collection), false);
      });
    // Somebody else was sooner: what to say depends on who that was.
    const again = (error: unknown) => {
      if (brokenConstraint(error) === 'collections_name') return attempt();
      throw error;
    };
    return attempt().catch(again).catch(toProblem);
  }

  /** Gone at once for every reader; its records are removed behind (see Leftovers). */
  async remove(who: Caller, name: string, ifMatch: string | undefined): Promise<void> {
    await this.changing(who, name, async (manager, caller, collection) => {
      if (!isReader(caller, collection)) throw missing();
      assertWriter(caller, collection);
      assertIfMatch(ifMatch, entityTag(collection));
      await manager.remove(collection);
    });
  }

  /** @param work is given the caller as they are now, until it is done */
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
    // Also when it seems to have failed: a connection can be lost between the commit and the word of it.
    return changed.finally(() => this.cache.invalidate(collectionTag(name)));
  }
}

function assertWriter(caller: Caller, collection: Collection): void {
  if (!isWriter(caller, collection))
    throw new Problem('forbidden', 'Only its owner and admins may change this collection.');
}

/** A name may be let go of and taken once more meanwhile. */
function toProblem(error: unknown): never {
  throw brokenConstraint(error) === 'collections_name' ? taken() : error;
}
