import type { Pool } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';

/** TypeORM's own pool, for what TypeORM has no word for: named statements, COPY, and its figures. */
export const poolOf = (dataSource: DataSource): Pool => (dataSource.driver as PostgresDriver).master;
