import type { EntityManager, ObjectLiteral } from 'typeorm';
import type { z } from 'zod';
import type { Cache } from '../cache/cache.js';
import type { SharedTier } from '../cache/shared-tier.js';
import { Batch } from '../database/batch.js';
import type { Database } from '../database/database.js';
import { invalid, Problem } from '../http/problem.js';
import { type Conflicts, type Created, Creations, type StoredRow, toProblem } from './creations.js';
import type { Cursors } from './cursor.js';
import type { Filter } from './filters.js';
import type { IdempotencyKey } from './idempotency.js';
import { type Listed, Lists, type PageRow, USUAL_ROW_BYTES, WHOLE_BYTES } from './list.js';
import { isInRange } from './moment.js';
import type { Page } from './page.js';
import { type Parent, type Statements, statementsOf } from './statements.js';
import { type Column, isMoment, type Property, Table } from './table.js';

/** Of a row, beside what clients see, the columns that decide on it. */
export type Stored<T, K extends keyof T> = StoredRow & Pick<T, K>;

/** What a table of rows is to clients. */
export interface RepositoryOptions<T, K extends Property<T>> {
  /** What clients see: the schema's members are columns, and what it does not name stays hidden. */
  shown: z.ZodObject;
  /** Columns that are given with each row, for whoever decides on it. */
  beside?: K[];
  parent?: Parent;
  filters?: Record<string, Filter>;
  /** What the JSON of the largest row may take; lists of larger ones take twice as long. */
  rowBytes?: number;
  /** Bytes that the JSON of a member may take. */
  most?: Partial<Record<Property<T>, number>>;
  /**
   * Rows are kept in Redis, too, for all replicas. It is for rows that nothing but their own change ends, or whose reader looks
   * at what they go with: Redis does not know that a row went with its owner.
   */
  isShared?: boolean;
  /** What to say where a constraint is broken, by its name; of others it is said that there is a conflict. */
  conflicts?: Conflicts;
}

interface Asked {
  /** What it is kept as. */
  name: string;
  id: string;
}

/** Values of a row: times may be texts, as JSON has them. */
export type Given<T> = { [P in keyof T]?: T[P] | (Extract<T[P], Date> extends never ? never : string) };

/** A row that is locked until its transaction ends. */
export interface Locked<T, K extends keyof T> {
  row: Stored<T, K>;
  manager: EntityManager;
  /** @returns the row as it is now */
  update(values: Given<T>): Promise<Stored<T, K>>;
  remove(): Promise<void>;
}

/** Rows of one table: read and made by batches, listed by keys, changed under a lock. */
export class ResourceRepository<T extends ObjectLiteral, K extends Property<T> = never> {
  readonly lists: Lists<T>;
  private readonly statements: Statements;
  /** Were all who ask in one batch, this process would stand still while PostgreSQL works, and the other way round. */
  private readonly reads = new Batch((asked: Asked[]) => this.readMany(asked), 4, 32);
  private readonly creations: Creations;

  constructor(
    readonly table: Table,
    private readonly options: RepositoryOptions<T, K>,
    private readonly database: Database,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    private readonly cursors: Cursors,
  ) {
    const beside = (options.beside ?? []).map((property) => table.column(property));
    this.statements = statementsOf(table, beside, options.parent);
    this.creations = new Creations(table, this.statements.createMany, options, database);
    this.lists = new Lists(table, options.filters ?? {}, options.rowBytes ?? USUAL_ROW_BYTES);
  }

  /** @param name what it is kept as, for all replicas */
  find(name: string, id: string): Promise<Stored<T, K> | undefined> {
    return this.reads.get({ name, id: id.toLowerCase() });
  }

  /** From the second tier what is there, the rest from the primary: a replica that lags would put an old value back. */
  private async readMany(asked: Asked[]): Promise<(Stored<T, K> | undefined)[]> {
    const begun = performance.now();
    const { isShared = false } = this.options;
    const kept = isShared ? await this.shared.getMany<Stored<T, K>>(asked.map(({ name }) => name)) : [];
    const missing = asked.filter((_, at) => kept[at] === undefined);
    const ids = [...new Set(missing.map(({ id }) => id))];
    const rows = ids.length > 0 ? await this.database.rows<Stored<T, K>>(this.statements.getMany, [ids]) : [];
    const found = new Map(rows.map((row) => [row.id, row]));
    const present = missing.filter(({ id }) => found.has(id));
    if (isShared) this.shared.setMany(new Map(present.map(({ name, id }) => [name, found.get(id)])), begun);
    return asked.map(({ id }, at) => kept[at] ?? found.get(id));
  }

  /**
   * @returns the row, and whether it was made by an earlier request with the same key; undefined where its parent has gone
   * @throws Problem conflict, idempotency-key-reused, content-too-large, invalid-request for what a column does not take
   */
  create(values: Given<T>, key?: IdempotencyKey): Promise<Created | undefined> {
    return this.creations.create(
      this.table.given.map((column) => this.textOf(column, values)),
      key,
    );
  }

  /**
   * A page of rows that may be a little old, unless the caller has just written.
   * @param scope what the list is of, its order and its filters: a cursor is good for no other
   * @throws Problem invalid-request for a foreign cursor, or a value that is none of the column that it is compared with
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
    // Rows may be larger than most are, and few lists have such.
    const isLarge = Buffer.byteLength(whole.items ?? '') > WHOLE_BYTES;
    const { items, at, id } = isLarge ? await ask(true) : whole;
    const nextCursor = at === null ? null : this.cursors.seal([at, id as string], of);
    return { items: items === null ? [] : [items], nextCursor };
  }

  /**
   * Works on one row under its lock, in a transaction; behind it, what was kept under the names ends, here and elsewhere.
   * @param parent the id of what it belongs to, where it belongs to something
   * @param work is given undefined when there is no such row
   * @throws Problem conflict, invalid-request for what a column does not take
   */
  async change<R>(
    id: string,
    names: string[],
    work: (locked: Locked<T, K> | undefined) => Promise<R>,
    parent?: string,
  ): Promise<R> {
    const changed = this.database.transaction(async (manager) => {
      const [row] = await manager.query<Stored<T, K>[]>(
        this.statements.lock,
        parent === undefined ? [id] : [id, parent],
      );
      return work(row && this.locked(row, manager));
    });
    try {
      return await changed;
    } catch (error) {
      throw toProblem(error, this.options.conflicts);
    } finally {
      // Also when it seems to have failed: a connection can be lost between the commit and the word of it.
      this.cache.invalidate(...names);
    }
  }

  private locked(row: Stored<T, K>, manager: EntityManager): Locked<T, K> {
    return {
      row,
      manager,
      update: async (values) => {
        const columns = this.table.given.filter(({ property }) => values[property] !== undefined);
        const texts = columns.map((column) => this.textOf(column, values));
        const changed = await manager.query<[Stored<T, K>[], number]>(this.statements.update(columns), [
          row.id,
          ...texts,
        ]);
        return changed[0][0] as Stored<T, K>;
      },
      remove: async () => {
        await manager.query(this.statements.remove, [row.id]);
      },
    };
  }

  /** A value as text that PostgreSQL reads as the column's type. @throws Problem content-too-large, invalid-request */
  private textOf({ type, property }: Column, values: Given<T>): string | null {
    const value: unknown = values[property];
    if (value === undefined || value === null) return null;
    if (value instanceof Date || isMoment(type)) return momentText(value as Date | string, property);
    const text = type === 'jsonb' || type === 'json' ? JSON.stringify(value) : String(value);
    const most = this.options.most?.[property];
    if (most !== undefined && Buffer.byteLength(text) > most)
      throw new Problem('content-too-large', `${property} may have ${most} bytes.`);
    return text;
  }
}

/** Cut to milliseconds. @throws Problem invalid-request for a year that RFC 3339 does not have */
function momentText(value: Date | string, property: string): string {
  if (isInRange(value)) return new Date(value).toISOString();
  const detail = 'must be a time in the years 0001 to 9999';
  throw invalid('There is a value that cannot be taken.', [{ pointer: `/${property}`, detail }]);
}
