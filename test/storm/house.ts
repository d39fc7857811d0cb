import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../scripts/embedded-postgres.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { untilHeard } from '../support/replicas.js';
import { TestServer } from '../support/standby.js';

/** Time-outs short enough to end within a storm, and limits that only a burst reaches. */
const SETTINGS = {
  DATABASE_LOCK_TIMEOUT_MS: '1000',
  DATABASE_STATEMENT_TIMEOUT_MS: '4000',
  DATABASE_QUERY_TIMEOUT_MS: '5000',
  DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS: '5000',
  IDEMPOTENCY_LEASE_MS: '3000',
  HEADERS_TIMEOUT_MS: '3000',
  REQUEST_TIMEOUT_MS: '10000',
  DRAIN_DELAY_MS: '500',
  DRAIN_TIMEOUT_MS: '8000',
  RATE_LIMIT_REQUESTS: '2000',
  RATE_LIMIT_WINDOW_S: '10',
  WEBHOOK_ALLOWED_ADDRESSES: '127.0.0.0/8',
  WEBHOOK_TIMEOUT_MS: '1000',
  LOG_LEVEL: 'warn',
};

/** A process of the built app, restarted at the same address whenever the storm has ended it. */
export class Replica {
  readonly url: string;
  readonly flaws: string[] = [];
  program!: Program;
  private isToEnd = false;

  constructor(
    readonly toDatabase: Forwarder,
    readonly toRedis: Forwarder,
    private readonly port: number,
    private readonly settings: Record<string, string>,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** A client that is not signed in. */
  get anyone(): Client {
    return new Client(this.url);
  }

  /** Like an orchestrator, retries until the database is available. */
  async start(): Promise<void> {
    for (;;) {
      this.isToEnd = false;
      const program = startMain({
        ...productionSettings(this.toDatabase.url),
        ...SETTINGS,
        ...this.settings,
        PORT: String(this.port),
        REDIS_URL: this.toRedis.url,
        ADMIN_EMAIL: ADMIN.email,
        ADMIN_PASSWORD: ADMIN.password,
      });
      this.program = program;
      const isServing = () =>
        fetch(`${this.url}/health/live`).then(
          ({ ok }) => ok,
          () => false,
        );
      while (program.isRunning && !(await isServing())) await pause(50);
      if (program.isRunning) return void this.watch(program);
      if (!/^The database .*\n$/.test(program.stderr)) this.flaws.push(`it did not start: ${program.stderr}`);
      await pause(300);
    }
  }

  /** @returns the time in milliseconds */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number> {
    this.isToEnd = true;
    const begun = Date.now();
    this.program.signal(signal);
    const { code } = await this.program.end();
    if (signal === 'SIGTERM' && code !== 0) this.flaws.push(`it ended with ${code} on SIGTERM`);
    return Date.now() - begun;
  }

  /** The number of its open files and sockets. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.program.pid}/fd`).length;
  }

  /** The value of a metric, summed over its labels. */
  async figure(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const found = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))];
    if (found.length === 0) throw new Error(`there is no ${name}`);
    return found.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  private watch(program: Program): void {
    void program.ended.then(({ code, signal }) => {
      if (!this.isToEnd) this.flaws.push(`it ended by itself with ${code ?? signal}`);
      if (program.stderr !== '') this.flaws.push(`on stderr: ${program.stderr}`);
      for (const line of program.stdout.split('\n'))
        if (/unhandled|uncaught|answered 500/i.test(line)) this.flaws.push(line);
    });
  }
}

/** Two replicas, Redis and PostgreSQL, all of which can stop and return. */
export class House {
  /** The user who exceeds the limit, the collection and record that they read, and the answers. */
  burster!: Client;
  set!: MadeCollection;
  target!: string;
  readonly burstAnswers: Record<string, number> = {};
  forgedAnswers = 0;

  private constructor(
    private readonly folder: string,
    readonly postgres: TestServer,
    readonly redis: TestRedis,
    readonly here: Replica,
    readonly there: Replica,
  ) {}

  static async start(settings: Record<string, string> = {}): Promise<House> {
    const folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
    // When the tests run as root, PostgreSQL runs as a user of its own, who must be able to enter the folder.
    chmodSync(folder, 0o755);
    const postgres = await TestServer.start(folder);
    // The storm checks that nothing is lost in a crash, so commits must reach the disk.
    await postgres.query('ALTER DATABASE floodgate SET synchronous_commit = on');
    const redis = await TestRedis.start();
    const replica = async () =>
      new Replica(await forward(postgres.url), await forward(redis.url), await freePort(), settings);
    const house = new House(folder, postgres, redis, await replica(), await replica());
    for (const one of house.replicas) await one.start();
    await untilHeard();
    [house.burster] = (await house.users(1)) as [Client];
    house.set = await makeCollection(house.burster);
    house.target = (await makeRecord(house.burster, house.set)).path;
    return house;
  }

  get replicas(): Replica[] {
    return [this.here, this.there];
  }
  get flaws(): string[] {
    return [...this.here.flaws.map((flaw) => `here: ${flaw}`), ...this.there.flaws.map((flaw) => `there: ${flaw}`)];
  }

  /** New users, signed in at both replicas in turn. */
  async users(count: number): Promise<Client[]> {
    const password = 'a-password-of-a-user';
    const user = async (_: unknown, index: number) => {
      const email = `user${++users}@example.com`;
      const anyone = new Client((index % 2 === 0 ? this.here : this.there).url);
      const { status, text } = await anyone.post('/api/v1/auth/register', { email, password, name: 'U' });
      if (status !== 201) throw new Error(text);
      return anyone.signIn(email, password);
    };
    return Promise.all(Array.from({ length: count }, user));
  }

  /** The same caller at the other replica. */
  elsewhere = ({ url, tokens, userId }: Client): Client =>
    new Client(url === this.here.url ? this.there.url : this.here.url, tokens, userId);

  async query<Row = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.postgres.url });
    await client.connect();
    try {
      return (await client.query(text, values)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    await endPrograms();
    for (const { toDatabase, toRedis } of this.replicas) await Promise.all([toDatabase.close(), toRedis.close()]);
    await this.redis.kill();
    await this.postgres.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let users = 0;
