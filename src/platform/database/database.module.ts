import { type DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { types } from 'pg';
import type { Logger } from 'pino';
import type { Config } from '../config.token.js';
import { parseExactly } from '../exact-json.js';
import { ClientWithTimeout } from './client-with-timeout.js';
import { CopyOut } from './copy-out.js';
import { Database, MIGRATIONS } from './database.js';
import type { Migration } from './migrations/index.js';
import { WaitingPool } from './pool.js';
import { PrimaryAndReplicas } from './primary-and-replicas.js';
import { PrimaryWatch } from './primary-watch.js';
import { urlForPg } from './url.js';

const IDLE_TIMEOUT_MS = 60_000;

for (const type of [types.builtins.JSON, types.builtins.JSONB]) types.setTypeParser(type, parseExactly);

/** TypeORM on one bounded pool, in which every wait and every statement has a time-out. */
@Global()
@Module({})
export class DatabaseModule {
  static forRoot(config: Config, logger: Logger, migrations: Migration[]): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: config.DATABASE_URL && urlForPg(config.DATABASE_URL),
          driver: { Pool: WaitingPool },
          applicationName: 'floodgate',
          autoLoadEntities: true,
          installExtensions: false,
          retryAttempts: 0,
          poolSize: config.DATABASE_POOL_SIZE,
          connectTimeoutMS: config.DATABASE_ACQUIRE_TIMEOUT_MS,
          poolErrorHandler: (err: Error) => logger.warn({ err }, 'A connection to PostgreSQL was lost.'),
          extra: {
            statement_timeout: config.DATABASE_STATEMENT_TIMEOUT_MS,
            lock_timeout: config.DATABASE_LOCK_TIMEOUT_MS,
            idle_in_transaction_session_timeout: config.DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS,
            query_timeout: config.DATABASE_QUERY_TIMEOUT_MS,
            idleTimeoutMillis: IDLE_TIMEOUT_MS,
            keepAlive: true,
            Client: ClientWithTimeout,
          },
        }),
      ],
      providers: [{ provide: MIGRATIONS, useValue: migrations }, PrimaryAndReplicas, PrimaryWatch, Database, CopyOut],
      exports: [PrimaryAndReplicas, PrimaryWatch, Database, CopyOut],
    };
  }
}
