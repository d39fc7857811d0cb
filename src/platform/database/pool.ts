import type { Socket } from 'node:net';
import { Client, type Pool } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';

/** TypeORM's own pool, for what TypeORM has no word for: named statements, COPY, and its figures. */
export const poolOf = (dataSource: DataSource): Pool => (dataSource.driver as PostgresDriver).master;

/** What pg says of a query that it gave up (query_timeout). */
export const GIVEN_UP = 'Query read timeout';

/**
 * A connection that ends when a query on it is given up (query_timeout). Nothing that is asked behind it would ever be
 * answered, neither the ROLLBACK of its transaction nor what TypeORM, which puts it back into the pool, asks next.
 */
export class ImpatientClient extends Client {
  // biome-ignore lint/suspicious/noExplicitAny: pg has many ways to be called
  override query(...given: any[]): any {
    const result: unknown = super.query(...(given as [string]));
    if (result instanceof Promise) result.catch(({ message }) => message === GIVEN_UP && this.destroy());
    return result;
  }

  private destroy(): void {
    (this.connection as unknown as { stream: Socket }).stream.destroy();
  }
}
