import { randomBytes } from 'node:crypto';
import { ADMIN } from './app.js';
import { Client } from './client.js';
import { Collector } from './collector.js';
import { createDatabase, type TestDatabase } from './database.js';
import { endPrograms, type Program, productionSettings, startMain } from './process.js';
import { TestRedis } from './redis.js';

type Settings = Record<string, string>;

/** The built app as in production, with a real PostgreSQL and Redis, and for each test a new collector, which gets traces only. */
export class TracedApp {
  collector!: Collector;
  database!: TestDatabase;
  private redis!: TestRedis;

  /** Call this at the top of a suite. */
  constructor() {
    beforeAll(async () => {
      [this.database, this.redis] = await Promise.all([createDatabase(), TestRedis.start()]);
    });
    beforeEach(async () => {
      this.collector = await Collector.start();
    });
    afterEach(async () => {
      await endPrograms();
      await this.collector.close();
    });
    afterAll(async () => {
      await this.redis.kill();
      await this.database.drop();
    });
  }

  settings(more: Settings = {}): Settings {
    return {
      ...productionSettings(this.database.url),
      REDIS_URL: this.redis.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      OTEL_EXPORTER_OTLP_ENDPOINT: this.collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      ...more,
    };
  }

  async start(more: Settings = {}): Promise<{ program: Program; anyone: Client; admin: Client }> {
    const program = startMain(this.settings(more));
    const anyone = new Client(await program.url());
    return { program, anyone, admin: await anyone.signIn(ADMIN.email, ADMIN.password) };
  }
}

/** Settings with which the collector gets everything, and soon. */
export const EVERYTHING = {
  OTEL_METRICS_EXPORTER: 'otlp',
  OTEL_LOGS_EXPORTER: 'otlp',
  OTEL_METRIC_EXPORT_INTERVAL: '1000',
};

/** A caller's own trace with its traceparent (W3C Trace Context). */
export function newTrace(flags = '01') {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-${flags}`, 'x-request-id': traceId } };
}

// biome-ignore lint/suspicious/noExplicitAny: a log line may hold anything
export const entries = (program: Program): any[] =>
  program.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** All lines of the log about the request with this id, once its line of the access log is written. */
export async function entriesOf(program: Program, id: string) {
  await program.says(new RegExp(`"id":"${id}"[^\\n]*status_code`));
  return entries(program).filter((entry) => entry.http?.request.id === id);
}
