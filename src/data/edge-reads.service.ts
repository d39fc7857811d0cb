import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { keep } from '../platform/cache/answer-cache.interceptor.js';
import { Cache, type Entry } from '../platform/cache/cache.js';
import { CONFIG, type Config } from '../platform/config.token.js';
import { Edge } from '../platform/edge/edge.js';
import { Answer } from '../platform/http/answer.js';
import type { Caller } from '../platform/http/caller.js';
import { pageAnswer } from '../platform/http/page.js';
import type { Collection } from './collection.entity.js';
import { cacheControl, collectionAnswer } from './collection.schema.js';
import { CollectionsService, isReader } from './collections.service.js';
import { type RecordQuery, recordAnswer, recordQuery } from './record.schema.js';
import { RecordsService } from './records.service.js';

const ROUTE = '/api/v1/data/:collection';
const COLLECTION = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})$/;
const RECORDS = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})\/records$/;
const RECORD = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})\/records\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Hands the edge the hot reads, under the very rule of who may read, so that they need not go through the pipeline. */
@Injectable()
export class EdgeReads implements OnModuleInit {
  private readonly queries = new LRUCache<string, RecordQuery>({ max: 1000 });

  constructor(
    private readonly edge: Edge,
    private readonly cache: Cache,
    private readonly collections: CollectionsService,
    private readonly records: RecordsService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  onModuleInit(): void {
    const maxAge = this.config.PUBLIC_MAX_AGE_S;
    this.edge.rank(/\/records\/(?:bulk|export)$/, 'bulk');
    const record = async (collection: Collection, id = '') =>
      recordAnswer(collection, await this.records.get(collection, id), maxAge);
    this.edge.add({
      path: RECORD,
      route: `${ROUTE}/records/:id`,
      isShared: true,
      load: (found, query, caller) => this.read(found, query, caller, record),
    });
    this.edge.add({
      path: RECORDS,
      route: `${ROUTE}/records`,
      isShared: false,
      load: (found, query, caller) => this.list(found, query, caller),
    });
    const answer = async (collection: Collection) => collectionAnswer(collection, maxAge);
    this.edge.add({
      path: COLLECTION,
      route: ROUTE,
      isShared: true,
      load: (found, query, caller) => this.read(found, query, caller, answer),
    });
  }

  private async list(
    [path, name = '']: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
  ): Promise<Answer | undefined> {
    const parsed = this.parse(query);
    const { value } = await this.collections.find(name);
    if (!parsed || !isReader(caller, value)) return undefined;
    const page = await this.records.list(value, parsed, caller?.id);
    return pageAnswer(query ? `${path}?${query}` : path, page, { 'cache-control': cacheControl(value.visibility) });
  }

  /** The query as the pipeline would read it; undefined when it has to be looked at there. */
  private parse(query: string): RecordQuery | undefined {
    const known = this.queries.get(query);
    if (known) return known;
    // It would take a first question mark of the query for the one before it.
    const parameters = [...new URLSearchParams(`?${query}`)];
    const names = new Set(parameters.map(([parameter]) => parameter));
    const { data } = recordQuery.safeParse(Object.fromEntries(parameters));
    if (!data || names.size < parameters.length || /\ufffd|\0/.test(parameters.join())) return undefined;
    this.queries.set(query, data);
    return data;
  }

  private read(
    [path, name = '', id]: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
    answer: (of: Collection, id?: string) => Promise<Answer>,
  ) {
    // Nothing here takes a query: whether it is a decent one is for the pipeline to say.
    if (query !== '') return undefined;
    const go = ({ value }: Entry<Collection | null>) =>
      isReader(caller, value) ? this.cache.fetch(path, () => keep(() => answer(value, id))) : undefined;
    const found = this.collections.find(name);
    const entry = found instanceof Promise ? found.then(go) : go(found);
    return entry instanceof Promise ? entry.then(ifFound) : ifFound(entry);
  }
}

const ifFound = (entry: Entry<unknown> | undefined) =>
  entry?.value instanceof Answer ? (entry as Entry<Answer>) : undefined;
