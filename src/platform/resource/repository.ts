import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { EntityManager, ObjectLiteral } from 'typeorm';
import type { z } from 'zod';
import type { Cache } from '../cache/cache.js';
import type { SharedTier } from '../cache/shared-tier.js';
import { Batch } from '../database/batch.js';
import type { CopyOut } from '../database/copy-out.js';
import type { Database } from '../database/database.js';
import { type Conflicts, toProblem } from '../database/database-problem.js';
import type { Answer } from '../http/answer.js';
import { invalid, Problem } from '../http/problem.js';
import { CopyIn } from './copy-in.js';
import { type Created, Creations, type StoredRow } from './creations.js';
import type { Cursors } from './cursor.js';
import type { Filter } from './filters.js';
import type { IdempotencyKey } from './idempotency.js';
import { type Listed, Lists, type PageRow, type Sorted, USUAL_ROW_BYTES, WHOLE_BYTES } from './list.js';
import { isInRange } from './moment.js';
import type { Page } from './page.js';
import { type Parent, type Statements, statementsOf } from './statements.js';
import { type Column, type Given, isMoment, type Property, Table } from './table.js';
import type { Destination, Upload, Uploads } from './upload/uploads.js';

/** A row as clients see it, with the columns that its policy looks at. */
export type Stored<T, K extends keyof T> = StoredRow & Pick<T, K>;

/** How a table's rows are shown to clients. */
export interface RepositoryOptions<T, K extends Property<T>> {
  /** The schema of what clients see. Its members are columns; other columns stay hidden. */
  shown: z.ZodObject;
  /** Columns that are returned with each row, for its policy. */
  beside?: K[];
  parent?: Parent;
  filters?: Record<string, Filter>;
  /** Bytes that the JSON of the largest row may take. Lists of larger rows take twice as long. */
  rowBytes?: number;
  /** Bytes that the JSON of a member may take. */
  most?: Partial<Record<Property<T>, number>>;
  /**
   * Caches rows in Redis too, for all replicas. Only for rows that are dropped by their own change alone, or whose
   * reader checks what they belong to: Redis does not know tags, such as a row's owner.
   */
  isShared?: boolean;
  /** The problem detail for a violated constraint, by the constraint's name. Others get a general one. */
  conflicts?: Conflicts;
}

interface Asked {
  /** Its name in the cache. */
  name: string;
  id: string;
  parent: string | undefined;
}

/** A row that is locked until the transaction ends. */
export interface Locked<T, K extends keyof T> {
  row: Stored<T, K>;
  manager: EntityManager;
  /** @returns the row as it is now */
  update(values: Given<T>): Promise<Stored<T, K>>;
  remove(): Promise<void>;
}

/** The rows of one table: read and created in batches, listed by keyset, changed under a lock. */
export class ResourceRepository<T extends ObjectLiteral, K extends Property<T> = never> {
  readonly lists: Lists<T>;
  private readonly copyIn: CopyIn<T>;
  private readonly statements: Statements;
  /** Several small batches, since with a single one this process would idle while PostgreSQL works, and vice versa. */
  private readonly reads = new Batch((asked: Asked[]) => this.readMany(asked), 4, 32);
  private readonly creations: Creations;

  constructor(
    readonly table: Table,
    private readonly options: RepositoryOptions<T, K>,
    private readonly database: Database,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    private readonly cursors: Cursors,
    private readonly uploads: Uploads,
    private readonly copyOut: CopyOut,
  ) {
    const beside = (options.beside ?? []).map((property) => table.column(property));
    this.statements = statementsOf(table, beside, options.parent);
    this.creations = new Creations(table, this.statements.createMany, options, database);
    this.copyIn = new CopyIn(table, options, (column, values) => this.textOf(column, values, tooLong));
    this.lists = new Lists(table, options.filters ?? {}, options.rowBytes ?? USUAL_ROW_BYTES);
  }

  /**
   * @param name the row's name in the cache, on all replicas
   * @param parent the id of the row's parent, where it is known at once: it spares a split table a search of all parts
   */
  find(name: string, id: string, parent?: string): Promise<Stored<T, K> | undefined> {
    return this.reads.get({ name, id: id.toLowerCase(), parent });
  }

  /** Reads the second tier, and the rest from the primary: a lagging replica would put old values in the cache. */
  private async readMany(asked: Asked[]): Promise<(Stored<T, K> | undefined)[]> {
    const begun = performance.now();
    const { isShared = false } = this.options;
    const kept = isShared ? await this.shared.getMany<Stored<T, K>>(asked.map(({ name }) => name)) : [];
    const missing = asked.filter((_, at) => kept[at] === undefined);
    const ids = [...new Set(missing.map(({ id }) => id))];
    const rows = ids.length > 0 ? await this.readRows(ids, [...new Set(missing.map(({ parent }) => parent))]) : [];
    const found = new Map(rows.map((row) => [row.id, row]));
    const present = missing.filter(({ id }) => found.has(id));
    if (isShared) this.shared.setMany(new Map(present.map(({ name, id }) => [name, found.get(id)])), begun);
    return asked.map(({ id }, at) => kept[at] ?? found.get(id));
  }

  private readRows(ids: string[], [parent, ...others]: (string | undefined)[]): Promise<Stored<T, K>[]> {
    const { getMany, getManyWithin } = this.statements;
    // With several parents, PostgreSQL would look for each id with each of them.
    if (!getManyWithin || parent === undefined || others.length > 0) return this.database.rows(getMany, [ids]);
    return this.database.rows(getManyWithin, [ids, parent]);
  }

  /**
   * @returns the row, and whether an earlier request with the same key created it
   * @throws Problem conflict, idempotency-key-reused, content-too-large, invalid-request for a value of the wrong type,
   *   and that of a parent that is not there
   */
  create(values: Given<T>, key?: IdempotencyKey): Promise<Created> {
    return this.creations.create(
      this.table.given.map((column) => this.textOf(column, values)),
      key,
    );
  }

  /** Creates the rows of an upload, and answers with its report. @throws as Uploads.load() does */
  createMany(destination: Omit<Destination<T>, 'rows'>, upload: Upload): Promise<Answer> {
    return this.uploads.load({ ...destination, rows: this.copyIn }, upload);
  }

  /**
   * Streams all matching rows as NDJSON, from a read replica as page() does.
   * @param allowed is aborted, with the problem, when nothing more may be read
   */
  export(sorted: Sorted<T>, { caller, raw }: FastifyRequest, allowed: AbortSignal): Promise<Readable> {
    return this.copyOut.stream(this.lists.copyStatement(sorted), caller?.id, raw.socket, allowed);
  }

  /**
   * A page of rows, from a read replica if there is one, unless the caller has just written.
   * @param scope the list, its order and its filters: a cursor is valid for the same scope only
   * @throws Problem invalid-request for a cursor of another list, or a value that is not of its column's type
   */
  async page(
    { cursor, ...listed }: Omit<Listed<T>, 'after'> & { cursor: string | undefined },
    callerId: string | undefined,
    scope: unknown[],
  ): Promise<Page> {
    const of = JSON.stringify(scope);
    const after = cursor === undefined ? undefined : this.cursors.open(cursor, of);
    const ask = async (isCut?: true) => {
      const { statement, values } = this.lists.statement({ ...listed, after }, isCut);
      const found = this.database.replicaRows<PageRow>(callerId, statement, values);
      const [page] = await found.catch((error) => {
        throw toProblem(error);
      });
      return page as PageRow;
    };
    const whole = await ask();
    // Only few lists have rows that are larger than usual.
    const isLarge = Buffer.byteLength(whole.items ?? '') > WHOLE_BYTES;
    const { items, at, id } = isLarge ? await ask(true) : whole;
    const nextCursor = at === null ? null : this.cursors.seal([at, id as string], of);
    return { items: items === null ? [] : [items], nextCursor };
  }

  /**
   * Works on one row under its lock, in a transaction. Afterwards it drops the names from the cache, on all replicas.
   * @param parent the id of the row's parent, if it has one
   * @param work gets undefined when there is no such row
   * @throws Problem conflict, invalid-request for a value of the wrong type
   */
  async change<R>(
    id: string,
    names: string[],
    work: (locked: Locked<T, K> | undefined) => Promise<R>,
    parent?: string,
  ): Promise<R> {
    const key = parent === undefined ? [id] : [id, parent];
    const changed = this.database.transaction(async (manager) => {
      const [row] = await manager.query<Stored<T, K>[]>(this.statements.lock, key);
      return work(row && this.locked(row, key, manager));
    });
    try {
      return await changed;
    } catch (error) {
      throw toProblem(error, this.options.conflicts);
    } finally {
      // Also after an error, since a connection can be lost between the commit and its confirmation.
      this.cache.invalidate(...names);
    }
  }

  private locked(row: Stored<T, K>, key: string[], manager: EntityManager): Locked<T, K> {
    return {
      row,
      manager,
      update: async (values) => {
        const columns = this.table.given.filter(({ property }) => values[property] !== undefined);
        const texts = columns.map((column) => this.textOf(column, values));
        const update = this.statements.update(columns);
        const [changed] = await manager.query<Stored<T, K>[]>(update, [...key, ...texts]);
        return changed as Stored<T, K>;
      },
      remove: async () => {
        await manager.query(this.statements.remove, key);
      },
    };
  }

  /** A value as text that PostgreSQL reads as the column's type. @throws Problem invalid-request, and that of `refusal` */
  private textOf({ type, property }: Column, values: Given<T>, refusal = tooLarge): string | null {
    const value: unknown = values[property];
    if (value === undefined || value === null) return null;
    if (value instanceof Date || isMoment(type)) return momentText(value as Date | string, property);
    const text = type === 'jsonb' || type === 'json' ? JSON.stringify(value) : String(value);
    const most = this.options.most?.[property];
    if (most !== undefined && Buffer.byteLength(text) > most) throw refusal(property, most);
    return text;
  }
}

const tooLarge = (property: string, most: number) =>
  new Problem('content-too-large', `${property} may have ${most} bytes at most.`);

/** In an upload, too large a value is a mistake of its line. */
const tooLong = (property: string, most: number) => ill(property, `is longer than ${most} bytes`);

const ill = (property: string, detail: string) =>
  invalid('A value is not valid.', [{ pointer: `/${property}`, detail }]);

/** Cut to milliseconds. @throws Problem invalid-request for a year that RFC 3339 does not have */
function momentText(value: Date | string, property: string): string {
  if (isInRange(value)) return new Date(value).toISOString();
  throw ill(property, 'must be a time in the years 0001 to 9999');
}
