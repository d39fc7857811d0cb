import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { keep } from '../platform/cache/answer-cache.interceptor.js';
import { Cache } from '../platform/cache/cache.js';
import type { Entry } from '../platform/cache/entry.js';
import { CONFIG, type Config } from '../platform/config.token.js';
import { Edge } from '../platform/edge/edge.js';
import { Answer } from '../platform/http/answer.js';
import type { Caller } from '../platform/http/caller.js';
import { pageAnswer } from '../platform/http/page.js';
import { readQuery } from '../platform/http/query.js';
import type { Collection } from './collection.entity.js';
import { cacheControl, collectionAnswer } from './collection.schema.js';
import { CollectionsService, type Found, isReader } from './collections.service.js';
import { type RecordQuery, recordAnswer, recordQuery } from './record.schema.js';
import { RecordsService } from './records.service.js';

const ROUTE = '/api/v1/data/:collection';
const COLLECTION = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})$/;
const RECORDS = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})\/records$/;
const RECORD = /^\/api\/v1\/data\/([a-z][a-z0-9-]{0,62})\/records\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Hands the edge the hot reads, under the very rule of who may read, so that they need not go through the pipeline. */
@Injectable()
export class EdgeReads implements OnModuleInit {
  private readonly queries = new LRUCache<string, RecordQuery>({ max: 1000, memoMethod: parse as () => RecordQuery });

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
    const record = async (name: string, found: Found | Promise<Found>, id = '') => {
      const stored = await this.records.get(name, found, id);
      return recordAnswer((await found) as Collection, stored, maxAge);
    };
    const collection = async (_: string, found: Found | Promise<Found>) =>
      collectionAnswer((await found) as Collection, maxAge);
    const [one, many] = [`${ROUTE}/records/:id`, `${ROUTE}/records`];
    this.edge.add({ path: RECORD, route: one, isShared: true, load: (...by) => this.read(record, ...by) });
    this.edge.add({ path: RECORDS, route: many, isShared: false, load: (...by) => this.list(...by) });
    this.edge.add({ path: COLLECTION, route: ROUTE, isShared: true, load: (...by) => this.read(collection, ...by) });
  }

  private async list(
    [path, name = '']: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
  ): Promise<Answer | undefined> {
    const parsed = this.queries.memo(query);
    const { value } = await this.collections.find(name);
    if (!parsed || !isReader(caller, value)) return undefined;
    const page = await this.records.list(value, parsed, caller?.id);
    return pageAnswer(query ? `${path}?${query}` : path, page, { 'cache-control': cacheControl(value.visibility) });
  }

  private read(
    answer: (name: string, found: Found | Promise<Found>, id?: string) => Promise<Answer>,
    [path, name = '', id]: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
  ) {
    // Nothing here takes a query: whether it is a decent one is for the pipeline to say.
    if (query !== '') return undefined;
    const found = this.collections.find(name);
    const fetch = (collection: Found | Promise<Found>) =>
      this.cache.fetch(path, () => keep(() => answer(name, collection, id), found));
    if (!(found instanceof Promise)) {
      if (!isReader(caller, found.value)) return undefined;
      const entry = fetch(found.value);
      return entry instanceof Promise ? entry.then(ifFound) : ifFound(entry);
    }
    const collection = found.then(({ value }) => value);
    // A record is asked for together with its collection; who may not read that is not given it.
    return Promise.all([collection, id === undefined ? undefined : fetch(collection)]).then(async ([value, entry]) =>
      isReader(caller, value) ? ifFound(entry ?? (await fetch(value))) : undefined,
    );
  }
}

/** The query as the pipeline reads it; undefined, and not kept, when it has to be looked at there. */
function parse(query: string): RecordQuery | undefined {
  const parameters = readQuery(query);
  return parameters && recordQuery.safeParse(parameters).data;
}

const ifFound = (entry: Entry<unknown> | undefined) =>
  entry?.value instanceof Answer ? (entry as Entry<Answer>) : undefined;
