import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DataSource, type ObjectLiteral } from 'typeorm';
import { CONFIG, type Config } from '../config.token.js';
import { Database } from '../database/database.js';
import { StartError } from '../start-error.js';
import type { ResourceDefinition } from './definition.js';
import { CALLERS } from './policy.js';
import type { Column, Table } from './table.js';

/** An index: its columns in order, and whether each of them is descending. */
interface Index {
  columns: string[];
  descends: boolean[];
}

const INDEXES = `
  SELECT array_agg(a.attname::text ORDER BY k.place) AS columns,
    array_agg((i.indoption::int2[])[k.place - 1] & 1 = 1 ORDER BY k.place) AS descends
  FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)
    JOIN pg_attribute a ON a.attnum = k.number
  WHERE i.indrelid = $1::regclass AND a.attrelid = i.indrelid AND i.indisvalid AND i.indpred IS NULL
  GROUP BY i.indexrelid`;

/** What feed_changes() makes for a table ($1, whose name is $2) and a column ($3). */
const FEED = `
  SELECT FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid
  WHERE tgrelid = $1::regclass AND tgname = 'feed_removed' AND strpos(prosrc, format('%L, %I', $2::text, $3::text)) > 0`;

/** Finds lists without an index and feeds without triggers at start, in development: what is missing would not fail. */
@Injectable()
export class SchemaCheck implements OnModuleInit {
  private readonly checks: (() => Promise<void>)[] = [];

  constructor(
    private readonly dataSource: DataSource,
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  add<T extends ObjectLiteral>(definition: ResourceDefinition<T>, table: Table): void {
    this.checks.push(() => this.check(definition, table));
  }

  /** @throws StartError that names what is missing */
  async onModuleInit(): Promise<void> {
    // Production may start before its migrations have run, and its code was checked in development.
    if (this.config.NODE_ENV === 'production' || !(await this.database.hasCurrentSchema())) return;
    for (const check of this.checks) await check();
  }

  private async check<T extends ObjectLiteral>(definition: ResourceDefinition<T>, table: Table): Promise<void> {
    const { sorts, policy, changes } = definition;
    const indexes = await this.dataSource.query<Index[]>(INDEXES, [table.sql]);
    const { name } = table.entity;
    for (const sort of sorts) {
      const column = table.column(sort);
      if (column.isNullable) throw new StartError(`${name}.${sort} may be null, so lists cannot be sorted by it`);
      // A cursor contains the value, and clients can decode it.
      if (!(sort in table.shown.shape)) throw new StartError(`${name} is sorted by ${sort}, which clients do not see`);
      if (sort === 'id')
        throw new StartError(`${name} is sorted by id, which is only the tiebreaker of another column`);
      for (const caller of [undefined, ...CALLERS]) {
        const listed = policy.listed(caller);
        // Of several alternatives, none can begin the index.
        const narrowed = Array.isArray(listed) ? [] : Object.keys(listed);
        const first = narrowed.map((property) => table.column(property));
        if (indexes.some((index) => serves(index, first, column))) continue;
        const within = narrowed.length > 0 ? ` within one ${narrowed.join(' and ')}` : '';
        throw new StartError(
          `${name} is sorted by ${sort}${within}, but no index supports that. Add one in a migration: CREATE INDEX ON ${table.sql} (${[...first.map(({ sql }) => sql), column.sql, 'id'].join(', ')})`,
        );
      }
    }
    if (!changes) return;
    const scope = table.column(changes).name;
    const found = await this.dataSource.query<object[]>(FEED, [table.sql, table.name, scope]);
    if (found.length === 0)
      throw new StartError(
        `${name} declares changes by ${changes}, but no triggers tell of them. Add them in a migration: SELECT feed_changes('${table.sql}', '${scope}')`,
      );
  }
}

/** Whether an index has the narrowed columns first, then the sorted column and the id, both in one direction. */
function serves({ columns, descends }: Index, narrowed: Column[], sort: Column): boolean {
  const count = narrowed.length;
  const begins = columns.slice(0, count);
  if (!narrowed.every(({ name }) => begins.includes(name))) return false;
  return columns[count] === sort.name && columns[count + 1] === 'id' && descends[count] === descends[count + 1];
}
