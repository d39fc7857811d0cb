import type { FastifyRequest } from 'fastify';
import type { ObjectLiteral } from 'typeorm';
import { z } from 'zod';
import type { Config } from '../config.token.js';
import { parseExactly } from '../exact-json.js';
import type { Feed, Source } from '../feed/feed.js';
import type { Feeds } from '../feed/feeds.js';
import type { LiveFeed } from '../feed/live-feed.js';
import { Answer, type AnswerOptions } from '../http/answer.js';
import { NDJSON } from '../http/body.js';
import type { Caller } from '../http/caller.js';
import { assertIfMatch } from '../http/entity-tag.js';
import { invalid, notFound, Problem } from '../http/problem.js';
import { caching } from '../http/shared-caches.js';
import { toMistakes } from '../http/validation.js';
import type { StoredRow } from './creations.js';
import { type ChangesQuery, type ExportQuery, type ListQuery, pathOf, type ResourceDefinition } from './definition.js';
import { type IdempotencyKey, REPLAYED } from './idempotency.js';
import type { Sorted } from './list.js';
import { mergePatch } from './merge-patch.js';
import { pageAnswer } from './page.js';
import { CALLERS } from './policy.js';
import type { Locked, ResourceRepository, Stored } from './repository.js';
import { scopesOf } from './scopes.js';
import type { Given, Property } from './table.js';
import type { Upload } from './upload/uploads.js';

/** Who changes a row, and the version they expect. */
export interface Change {
  caller: Caller;
  ifMatch: string | undefined;
}

/** A resource's rows over HTTP: with its policy, entity tags, pages and Location headers. */
export class Resource<T extends ObjectLiteral> {
  /** A list is public if the policy does not narrow it. */
  private readonly listHeaders: Record<string, string>;
  private readonly live: LiveFeed | undefined;

  constructor(
    readonly definition: ResourceDefinition<T>,
    readonly repository: ResourceRepository<T, Property<T>>,
    private readonly config: Config,
    private readonly feeds: Feeds,
  ) {
    if (definition.changes) {
      for (const caller of CALLERS) scopesOf(definition, caller);
      this.live = feeds.of(repository.table, repository.lists);
    }
    const isForAll = Object.keys(definition.policy.listed(undefined)).length === 0;
    this.listHeaders = caching(isForAll);
  }

  /** Its changes, if it tells them. */
  get feed(): Feed | undefined {
    return this.live?.feed;
  }

  /** The answer says who may read it: others get the same 404 as for a missing row. @throws Problem not-found */
  async get(id: string): Promise<Answer> {
    const row = await this.repository.find(pathOf(this.definition, id), id);
    if (!row) throw this.missing();
    const isFor = (caller: Caller | undefined) => this.definition.policy.mayRead(row as unknown as T, caller);
    return this.answer(row, {}, isFor(undefined) ? {} : { only: { isFor, refusal: () => this.missing() } });
  }

  /**
   * A page of the rows that the caller may read.
   * @param url the request's URL, from which the link to the next page is made
   * @throws Problem invalid-request for a cursor of another list
   */
  async list(url: string, query: ListQuery, caller: Caller | undefined): Promise<Answer> {
    const { limit, cursor, ...sought } = query;
    const listed = { ...this.soughtBy(caller, sought as ExportQuery), limit, cursor };
    const scope = [this.definition.path, listed.where, sought.sort, listed.filters];
    const page = await this.repository.page(listed, caller?.id, scope);
    return pageAnswer(url, page, this.listHeaders);
  }

  /**
   * Streams all rows that the caller may read, one a line.
   * @param allowed is aborted, with the problem, when the caller may read no more
   */
  async export(query: ExportQuery, request: FastifyRequest, allowed: AbortSignal): Promise<Answer> {
    const lines = await this.repository.export(this.soughtBy(request.caller, query), request, allowed);
    return new Answer(lines, { type: NDJSON, headers: this.listHeaders });
  }

  /**
   * Tells of changes to the rows that the caller may read: see Feeds.answer().
   * @param allowed is aborted, with the problem, when the caller may read no more
   */
  changes({ after, wait, ...filters }: ChangesQuery, request: FastifyRequest, allowed: AbortSignal): Promise<Answer> {
    const source = {
      scopes: scopesOf(this.definition, request.caller),
      filters: filters as Source['filters'],
    };
    return this.feeds.answer(this.live as LiveFeed, source, { after, wait }, request, allowed);
  }

  /** @throws Problem conflict, idempotency-key-reused, not-found when its parent does not exist */
  async create(values: Given<T>, key?: IdempotencyKey): Promise<Answer> {
    const { row, isReplayed } = await this.repository.create(values, key);
    const headers = { location: pathOf(this.definition, row.id), ...(isReplayed ? REPLAYED : {}) };
    return this.answer({ ...values, ...row } as unknown as Stored<T, Property<T>>, headers);
  }

  /**
   * Creates the rows of an upload.
   * @param values what every row has, beside what its line says, such as its owner
   */
  createMany(values: Given<T>, upload: Upload): Promise<Answer> {
    const { entity, input } = this.definition;
    return this.repository.createMany({ name: entity.name, input, values }, upload);
  }

  /**
   * Members that are left out get the value that they have in a new row.
   * @throws Problem not-found, forbidden, precondition-required, precondition-failed, conflict
   */
  replace(id: string, values: Given<T>, change: Change): Promise<Answer> {
    const left = Object.fromEntries(Object.keys(this.definition.input.shape).map((name) => [name, null]));
    return this.change(id, change, async (locked) => this.answer(await locked.update({ ...left, ...values })));
  }

  /**
   * Merges a patch into the row as clients see it. Other members stay, even with values that a body could not have.
   * @throws Problem as replace() does, and invalid-request when the result is not valid
   */
  patch(id: string, patch: object, change: Change): Promise<Answer> {
    const { input } = this.definition;
    const names = Object.keys(input.shape);
    return this.change(id, change, async (locked) => {
      const shown = parseExactly(locked.row.json) as Record<string, unknown>;
      const own = Object.fromEntries(names.map((name) => [name, shown[name]]));
      const merged = mergePatch(own, patch) as Record<string, unknown>;
      // A null column is null in the body if the schema allows it, and else left out.
      for (const name of names) merged[name] ??= this.mayBeNull(name) ? null : undefined;
      const body = input.safeParse(merged);
      if (!body.success) throw invalid('The body is not valid.', toMistakes(body.error.issues));
      const named = names.filter((name) => Object.hasOwn(patch, name));
      const given = Object.fromEntries(named.map((name) => [name, body.data[name] ?? null]));
      return this.answer(await locked.update(given as Given<T>));
    });
  }

  /** @throws Problem not-found, forbidden, precondition-required, precondition-failed, conflict */
  remove(id: string, change: Change): Promise<void> {
    return this.change(id, change, (locked) => locked.remove());
  }

  private soughtBy(caller: Caller | undefined, { sort, ...filters }: ExportQuery): Sorted<T> {
    return {
      where: this.definition.policy.listed(caller),
      filters,
      sort: sort.replace(/^-/, '') as Property<T>,
      order: sort.startsWith('-') ? 'desc' : 'asc',
    };
  }

  /** @throws Problem not-found, forbidden */
  async assertMayChange(id: string, caller: Caller): Promise<void> {
    this.admit(await this.repository.find(pathOf(this.definition, id), id), caller);
  }

  private admit<Row extends StoredRow>(row: Row | undefined, caller: Caller): asserts row is Row {
    const { policy } = this.definition;
    if (!row || !policy.mayRead(row as unknown as T, caller)) throw this.missing();
    if (!policy.mayChange(row as unknown as T, caller))
      throw new Problem('forbidden', 'You may read this, but not change it.');
  }

  private change<R>(id: string, change: Change, work: (locked: Locked<T, Property<T>>) => Promise<R>): Promise<R> {
    return this.repository.change(id, [pathOf(this.definition, id)], (locked) => {
      this.admit(locked?.row, change.caller);
      const found = locked as Locked<T, Property<T>>;
      assertIfMatch(change.ifMatch, found.row.etag);
      return work(found);
    });
  }

  /** After a create or change the caller gets the row, even if they may no longer read it. */
  private answer(
    row: Stored<T, Property<T>>,
    headers: Record<string, string> = {},
    only: Pick<AnswerOptions, 'only'> = {},
  ): Answer {
    const { policy } = this.definition;
    const { json, etag } = row as StoredRow;
    const isForAll = policy.mayRead(row as unknown as T, undefined);
    return new Answer(json, {
      etag,
      tags: policy.tags?.(row as unknown as T) ?? [],
      headers: { ...caching(isForAll, this.config), ...headers },
      ...only,
    });
  }

  private mayBeNull(name: string): boolean {
    return z.safeParse(this.definition.input.shape[name] as z.ZodType, null).success;
  }

  private missing(): Problem {
    return notFound(`There is no ${this.definition.name} with this id.`);
  }
}
