import type { Database, Statement } from '../database/database.js';
import { toProblem } from '../database/database-problem.js';
import { at, type Position, writePosition } from './position.js';

/** What a feed needs to know of a table. */
export interface FeedTable {
  /** The table, in PostgreSQL's catalogue and in SQL. */
  name: string;
  sql: string;
  /** A row's JSON as SQL. */
  json: string;
}

/** The conditions of its lists as SQL. */
export interface Conditions {
  conditions(narrowed: { where: object; filters: Source['filters'] }, place: (value: string) => string): string;
}

/** What readers of a feed ask for. */
export interface Source {
  /** The scopes whose changes it has; undefined for all. */
  scopes: string[] | undefined;
  /** As in lists, by name; undefined for none. */
  filters: Record<string, string | undefined>;
}

/** What has happened to a row, or to many at once. */
export type Kind = 'created' | 'updated' | 'deleted' | 'bulk' | 'reset';

/** A change, as clients see it. */
export interface Change {
  /** The text of the position behind it. */
  id: string;
  kind: Kind;
  scope: string | null;
  /** The row as JSON: as it is after the change, or as it was when it was deleted. */
  json: string;
  /** For each of the filters asked for, whether the row is within it. */
  fits: boolean[];
}

/** Ticks that are read in one statement: four minutes at four ticks a second. */
const STEP = 1000n;
/** Changes that are read in one statement. */
const PAGE = 200;

/** The changes of one table's rows, in an order in which those of a row are as they were committed. */
export class Feed {
  constructor(
    readonly table: FeedTable,
    private readonly lists: Conditions,
    private readonly database: Database,
  ) {}

  /**
   * The next changes up to a tick.
   * @param filters of which each change says whether it is within them
   * @param most how many of them
   * @returns the changes, and how far they lead; undefined when the position is too old, or of no tick that there was
   * @throws Problem invalid-request for a filter's value that is not of its column's type
   */
  async next(
    from: Position,
    tick: string,
    scopes: string[] | undefined,
    filters: Source['filters'][] = [],
    most = PAGE,
  ): Promise<{ changes: Change[]; position: Position } | undefined> {
    const isWithin = from.after !== from.upTo;
    const [begin, end, last] = [BigInt(from.after), BigInt(from.upTo), BigInt(tick)];
    if (begin > end || end > last || end - begin > STEP) return undefined;
    const upTo = isWithin ? from.upTo : String(begin + STEP < last ? begin + STEP : last);
    const { statement, values } = this.statement([from.after, upTo, from.id, this.table.name, most], scopes, filters);
    const rows = await this.database.rows<Change>(statement, values).catch((error) => {
      throw toProblem(error);
    });
    // The row without an id is there if both ticks are.
    const found = rows.filter((row) => row.id !== null);
    if (found.length === rows.length) return undefined;
    const changes = found.map((row) => ({ ...row, id: writePosition({ after: from.after, upTo, id: row.id }) }));
    // Of a full page, since more may follow it.
    const lastId = found.length === most ? found.at(-1)?.id : undefined;
    // Each page sorts its whole step, so that a step should not have many.
    if (!isWithin && lastId && BigInt(upTo) - begin > 1n)
      return this.next(from, String(begin + ((BigInt(upTo) - begin) >> 4n || 1n)), scopes, filters, most);
    return { changes, position: lastId ? { after: from.after, upTo, id: lastId } : at(upTo) };
  }

  private statement(
    asked: unknown[],
    scopes: string[] | undefined,
    filters: Source['filters'][],
  ): { statement: Statement; values: unknown[] } {
    const { name, sql, json } = this.table;
    const values = [...asked, ...(scopes ? [scopes] : [])];
    const place = (value: string) => `$${values.push(value)}`;
    const row = `jsonb_populate_record(NULL::${sql}, c.row)`;
    const isRow = `c.kind IN ('created', 'updated', 'deleted')`;
    const fits = filters.map(
      (one) =>
        `NOT ${isRow} OR coalesce((SELECT ${this.lists.conditions({ where: {}, filters: one }, place)} FROM ${row}), false)`,
    );
    // What happens to a row without a scope is for nobody but those who read all.
    const isOfScopes = scopes ? ` AND (c.scope = ANY ($6::uuid[]) OR c.scope IS NULL AND c.kind = 'reset')` : '';
    const text = `
      WITH ticks AS MATERIALIZED (
        SELECT a.snapshot AS after, b.snapshot AS up_to FROM change_ticks a, change_ticks b WHERE a.tick = $1 AND b.tick = $2),
      page AS (
        SELECT c.* FROM changes c
        WHERE c.xid >= (SELECT pg_snapshot_xmin(after) FROM ticks) AND c.xid < (SELECT pg_snapshot_xmax(up_to) FROM ticks)
          AND NOT pg_visible_in_snapshot(c.xid, (SELECT after FROM ticks))
          AND pg_visible_in_snapshot(c.xid, (SELECT up_to FROM ticks))
          AND c.of = $4 AND c.id > $3${isOfScopes}
        ORDER BY c.id LIMIT $5)
      SELECT NULL AS id, NULL AS kind, NULL AS scope, NULL AS json, NULL AS fits FROM ticks
      UNION ALL (SELECT c.id::text, c.kind, c.scope::text,
        CASE WHEN ${isRow} THEN (SELECT ${json} FROM ${row}) ELSE c.row::text END,
        ARRAY[${fits.join(', ')}]::boolean[] FROM page c ORDER BY c.id)`;
    // Filters and their number are the caller's, so that such a statement is rarely asked for again.
    return filters.length > 0
      ? { statement: { text }, values }
      : { statement: { name: `feed_${name}_${scopes ? 'of' : 'all'}`.slice(0, 63), text }, values };
  }
}
