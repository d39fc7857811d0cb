import { Batch } from '../database/batch.js';
import type { Database, Statement } from '../database/database.js';
import { type Conflicts, LOCK_NOT_AVAILABLE, sqlState, toProblem } from '../database/database-problem.js';
import { entityTag } from '../http/entity-tag.js';
import { notFound } from '../http/problem.js';
import { fingerprintOf, type IdempotencyKey, isOtherRequest, isRunning } from './idempotency.js';
import { FIND_KEY, type Parent } from './statements.js';
import type { Table } from './table.js';

/** A row as clients see it: its JSON, which PostgreSQL makes, and its entity tag. */
export interface StoredRow {
  id: string;
  json: string;
  etag: string;
}

/** A new row, or the one that an earlier request with the same key created. */
export interface Created {
  row: StoredRow;
  isReplayed: boolean;
}

/** An invalid value or a violated constraint: an error of one row, which must not fail the others of its batch. */
export const OF_ONE_ROW = /^2[23]/;

interface Creation extends Partial<IdempotencyKey> {
  values: (string | null)[];
  fingerprint?: Buffer;
}

type Made = StoredRow | undefined;

/** Creates rows of a table, those of many callers in one statement, so that they share one commit. */
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
   * @throws the parent's problem if it is not there
   */
  async create(values: (string | null)[], key?: IdempotencyKey): Promise<Created> {
    const creation: Creation = { values };
    if (key) Object.assign(creation, key, { fingerprint: this.fingerprintOf(values) });
    const row = await this.batch.get(creation);
    if (row) return { row, isReplayed: false };
    const earlier = key && (await this.earlier(key, creation.fingerprint as Buffer));
    if (!earlier) throw this.options.parent?.gone() ?? notFound();
    return { row: earlier, isReplayed: true };
  }

  /** A parent's id is among the values, so that the table's name is not needed. */
  private fingerprintOf(values: (string | null)[]): Buffer {
    const what = this.options.parent ? 'create' : `create ${this.table.name}`;
    // Texts hold no NUL, so that '\0null' tells the text 'null' from a missing value.
    const texts = values.map((value) => (value === 'null' ? '\0null' : String(value)));
    return fingerprintOf(what, ...texts);
  }

  private async createMany(asked: Creation[]): Promise<(Made | Promise<Made>)[]> {
    // Of several requests with one key only the first creates a row; the others are answered as if they came later.
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
      // Another process has held one of the keys for the whole lock time-out.
      const isHeld = state === LOCK_NOT_AVAILABLE && asked.some(({ key }) => key);
      if (!isHeld && !OF_ONE_ROW.test(state)) throw error;
      if (asked.length > 1) return asked.map((one) => this.createMany([one]).then(([row]) => row));
      throw isHeld ? isRunning() : toProblem(error, this.options.conflicts);
    }
  }

  /** The row that an earlier request with the same key created. */
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
