import { Injectable } from '@nestjs/common';
import { HealthIndicatorService } from '@nestjs/terminus';
import { Database } from '../platform/database/database.js';
import { Lifecycle } from '../platform/lifecycle/lifecycle.js';

/** PostgreSQL is asked no more often, however many ask for readiness. */
const REMEMBERED_MS = 500;
const TIMEOUT_MS = 1500;

/** What readiness and start-up depend on. */
@Injectable()
export class HealthIndicators {
  private schemaIsCurrent = false;

  constructor(
    private readonly health: HealthIndicatorService,
    private readonly database: Database,
    private readonly process: Lifecycle,
  ) {}

  lifecycle() {
    const indicator = this.health.check('process');
    if (this.process.isServing) return indicator.up();
    return indicator.down(this.process.isDraining ? 'is stopping' : 'is starting');
  }

  postgres() {
    return this.health
      .check('postgresql')
      .attempt(() => this.said('does not answer', this.database.ping()))
      .withTimeout(TIMEOUT_MS)
      .cacheFor(REMEMBERED_MS);
  }

  /** Once current, always current: a newer schema does not stop a process that runs. */
  schema() {
    const indicator = this.health.check('schema');
    if (this.schemaIsCurrent) return indicator.up();
    return indicator
      .attempt(async () => {
        const isCurrent = await this.said('cannot be read', this.database.hasCurrentSchema());
        if (!isCurrent) throw new Error('is older than this build needs: run the migrations');
        this.schemaIsCurrent = true;
      })
      .withTimeout(TIMEOUT_MS);
  }

  /** What PostgreSQL or its driver said is for the log, not for whoever asks. */
  private async said<T>(failure: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch {
      throw new Error(failure);
    }
  }
}
