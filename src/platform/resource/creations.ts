import { Batch } from '../database/batch.js';
import type { Database, Statement } from '../database/database.js';
import { brokenConstraint, sqlState } from '../database/database-problem.js';
import { entityTag } from '../http/entity-tag.js';
import { invalid, Problem } from '../http/problem.js';
import { fingerprintOf, type IdempotencyKey, isOtherRequest, isRunning } from './idempotency.js';
import { FIND_KEY, type Parent } from './statements.js';
import type { Table } from './table.js';

/** A row as clients see it, its JSON made by PostgreSQL, and its entity tag. */
export interface StoredRow {
  id: string;
  json: string;
  etag: string;
}

/** A row that was made, or had been by an earlier request with the same key. */
export interface Created {
  row: StoredRow;
  isReplayed: boolean;
}

/** What to say where a constraint is broken, by its name. */
export type Conflicts = Record<string, string>;

const LOCK_NOT_AVAILABLE = '55P03';
/** A value that the database does not take, or a constraint: of one row, for which others of its batch are not to blame. */
const OF_ONE_ROW = /^2[23]/;
/** A value that a column does not take; a null where there must be something. */
const UNFIT = /^22|^23502/;
/** Foreign keys, uniqueness, exclusion. */
const CONFLICTS = new Set(['23503', '23505', '23P01']);

interface Creation extends Partial<IdempotencyKey> {
  values: (string | null)[];
  fingerprint?: Buffer;
}

type Made = StoredRow | undefined;

/** Makes rows of a table, those of many callers in one statement, so that all pay for one commit. */
export class Creations {
  private readonly batch = new Batch((asked: Creation[]) => this.createMany(asked), 4, 500);

  constructor(
    private readonly table: Table,
    private readonly statement: Statement,
    private readonly options: { parent?: Parent; conflicts?: Conflicts },
    private readonly database: Database,
  ) {}

  /**
   * @param values in the order of `table.given`
   * @returns undefined where its parent has gone
   */
  async create(values: (string | null)[], key?: IdempotencyKey): Promise<Created | undefined> {
    const creation: Creation = { values };
    if (key) Object.assign(creation, key, { fingerprint: this.fingerprintOf(values) });
    const row = await this.batch.get(creation);
    if (row) return { row, isReplayed: false };
    const earlier = key && (await this.earlier(key, creation.fingerprint as Buffer));
    return earlier && { row: earlier, isReplayed: true };
  }

  /** The id of its parent tells what it is of, where it has one. */
  private fingerprintOf(values: (string | null)[]): Buffer {
    const what = this.options.parent ? 'create' : `create ${this.table.name}`;
    // No text holds a NUL: by it the text is told from what is not there.
    const texts = values.map((value) => (value === 'null' ? '\0null' : String(value)));
    return fingerprintOf(what, ...texts);
  }

  private async createMany(asked: Creation[]): Promise<(Made | Promise<Made>)[]> {
    // The second one with a key finds what the first one made, as if it had come later.
    const first = new Map(
      asked.map((one, at) => [one.key ? `${one.callerId} ${one.key}` : at, one] as const).reverse(),
    );
    const creations = [...first.values()];
    const columns = this.table.given.map((_, at) => creations.map(({ values }) => values[at] ?? null));
    const part = (name: 'callerId' | 'key' | 'fingerprint') => creations.map((creation) => creation[name] ?? null);
    const keys = [part('callerId'), part('key'), part('fingerprint')];
    try {
      const values = [...columns, ...keys];
      const rows = await this.database.rows<StoredRow & { n: number }>(this.statement, values);
      const made = new Map(rows.map((row) => [creations[row.n - 1], row]));
      return asked.map((one) => made.get(one));
    } catch (error) {
      const state = sqlState(error) ?? '';
      // Another process holds one of the keys, and has for as long as we may wait for a lock.
      const isHeld = state === LOCK_NOT_AVAILABLE && asked.some(({ key }) => key);
      if (!isHeld && !OF_ONE_ROW.test(state)) throw error;
      if (asked.length > 1) return asked.map((one) => this.createMany([one]).then(([row]) => row));
      throw isHeld ? isRunning() : toProblem(error, this.options.conflicts);
    }
  }

  /** What an earlier request with the same key made. */
  private async earlier({ callerId, key }: IdempotencyKey, fingerprint: Buffer): Promise<StoredRow | undefined> {
    const [earlier] = await this.database.rows<{ fingerprint: Buffer; body: string | null }>(FIND_KEY, [callerId, key]);
    if (!earlier) return undefined;
    if (!earlier.fingerprint.equals(fingerprint)) throw isOtherRequest();
    if (earlier.body === null) throw isRunning();
    const {
      id,
      [this.table.version.property]: version,
      [this.table.createdAt.property]: at,
    } = JSON.parse(earlier.body);
    return { id, json: earlier.body, etag: entityTag({ version, createdAt: new Date(at) }) };
  }
}

/**
 * What a constraint that was broken, or a value that no column takes, is to the caller; any other failure stays as it is, as does
 * a CHECK that no declaration names: what lets pass what it refuses is to be mended.
 */
export function toProblem(error: unknown, conflicts: Conflicts = {}): unknown {
  const state = sqlState(error) ?? '';
  const known = conflicts[brokenConstraint(error) ?? ''];
  if (known !== undefined || CONFLICTS.has(state))
    return new Problem('conflict', known ?? 'This conflicts with what is there.');
  return UNFIT.test(state) ? invalid('There is a value that cannot be taken.') : error;
}
