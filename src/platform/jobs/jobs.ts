import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientBase } from 'pg';
import { type Db, PgBoss } from 'pg-boss';
import type { EntityManager } from 'typeorm';
import type { z } from 'zod';
import { Database } from '../database/database.js';
import { databaseProblem } from '../database/database-problem.js';
import { WaitingPool } from '../database/pool.js';
import { PrimaryAndReplicas } from '../database/primary-and-replicas.js';
import { seldom } from '../logging/seldom.js';
import type { JobDefinition } from './definition.js';
import { currentTrace, type Trace } from './job-traces.js';

/** The most connections that a process opens for its jobs, beside the pool for requests. */
const CONNECTIONS = 2;
/** How often lost workers and jobs whose time is up are looked for, by one process of all. */
const LOOK_S = 5;
const CRON_LOOK_S = 15;
const CLEAN_S = 60;
/** The time that an enqueuing transaction usually takes until its commit. */
const COMMIT_MS = 50;

/** What pg-boss stores of a job. */
export interface JobData {
  /** As JSON text, which jsonb cannot change or refuse. */
  payload: string;
  trace?: Trace;
}

export interface NewJob<Payload extends z.ZodType> {
  payload: z.input<Payload>;
  /** Not before this time. */
  runAt?: Date;
  /** What the job's policy counts by. */
  key?: string;
}

/** A transaction in which jobs are enqueued: TypeORM's manager, or a connection of pg. */
export type Transaction = Pick<EntityManager, 'query'> | Pick<ClientBase, 'query'>;

/** Enqueues jobs. They are worked by this process or another one, at least once each. */
@Injectable()
export class Jobs implements OnApplicationShutdown {
  readonly boss: PgBoss;
  /** Called when there is probably a job of that name to work. */
  onEnqueued: (name: string) => void = () => {};
  private readonly logger = new Logger(Jobs.name);
  private readonly pool: WaitingPool;
  private isDown = false;
  private readonly complainSeldom = seldom((message: string) => this.logger.error(message));

  constructor(
    servers: PrimaryAndReplicas,
    private readonly database: Database,
  ) {
    const own = { max: CONNECTIONS, application_name: 'floodgate jobs' };
    this.pool = new WaitingPool({ ...servers.primary.pool.options, ...own }).on('error', () => {});
    this.boss = new PgBoss({
      db: { executeSql: (text, values) => this.ask(text, values) },
      migrate: false,
      registerInstance: false,
      // The role that serves may not.
      reindex: false,
      // Its own spans of every poll would hide the others.
      openTelemetry: { enabled: false },
      superviseIntervalSeconds: LOOK_S,
      monitorIntervalSeconds: LOOK_S,
      queueCacheIntervalSeconds: LOOK_S,
      maintenanceIntervalSeconds: CLEAN_S,
      cronMonitorIntervalSeconds: CRON_LOOK_S,
    });
    for (const event of ['error', 'warning'] as const) this.boss.on(event, ({ message }) => this.complain(message));
  }

  /**
   * @param options.manager the transaction that the job belongs to: it is there when that commits, and only then
   * @returns its id; undefined when the policy lets none be added
   * @throws ZodError for an invalid payload
   */
  async enqueue<Payload extends z.ZodType>(
    job: JobDefinition<Payload>,
    payload: z.input<Payload>,
    { manager, ...when }: Omit<NewJob<Payload>, 'payload'> & { manager?: Transaction } = {},
  ): Promise<string | undefined> {
    return (await this.enqueueAll(job, [{ payload, ...when }], manager))[0];
  }

  /** Enqueues many in one statement. @returns the ids of those that the policy lets be added */
  async enqueueAll<Payload extends z.ZodType>(
    { name, payload: schema, policy = 'standard' }: JobDefinition<Payload>,
    jobs: NewJob<Payload>[],
    manager?: Transaction,
  ): Promise<string[]> {
    const trace = currentTrace();
    const rows = jobs.map(({ payload, runAt, key }) => {
      schema.parse(payload);
      if (key !== undefined && policy === 'standard') throw new Error(`${name} needs a policy for its keys`);
      const data: JobData = { payload: JSON.stringify(payload), trace };
      return { data, ...(runAt && { startAfter: runAt }), ...(key && { singletonKey: key }) };
    });
    const ids = await this.boss.insert(name, rows, { db: this.within(manager), returnId: true });
    setTimeout(this.onEnqueued, manager ? COMMIT_MS : 0, name).unref();
    return ids ?? [];
  }

  /** Asks pg-boss's tables, on connections of their own: jobs and requests cannot take each other's. */
  async ask<Row>(text: string, values?: unknown[]): Promise<{ rows: Row[] }> {
    try {
      // The pool closes the connection after an error: pg-boss's texts leave a transaction open then.
      const result = await this.pool.query(text, values);
      if (this.isDown) this.logger.log('Jobs go on.');
      this.isDown = false;
      return result as { rows: Row[] };
    } catch (error) {
      if (databaseProblem(error) && !this.isDown) {
        this.isDown = true;
        this.logger.warn(`Jobs wait for PostgreSQL: ${(error as Error).message}`);
      }
      throw error;
    }
  }

  /** Logs a failure, but not every one of an outage. */
  complain(message: string): void {
    if (!this.isDown) this.complainSeldom(message);
  }

  /** The connection for pg-boss's statements in a transaction, or without one, as for any write of a request. */
  within(manager?: Transaction): Db {
    const ask = manager?.query.bind(manager) as EntityManager['query'] | undefined;
    return {
      executeSql: async (text, values = []) => {
        const found = ask ? await ask(text, values) : await this.database.rows({ text }, values);
        return Array.isArray(found) ? { rows: found } : found;
      },
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.end();
  }
}
