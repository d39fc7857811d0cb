import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { EmbeddedPostgres } from '../../scripts/embedded-postgres.js';
import type { TestDatabase } from './database.js';

/** A real PostgreSQL with one database, which a test can stop and restart at the same address. */
export class TestServer implements TestDatabase {
  private constructor(
    private readonly folder: string,
    private readonly unsafe: boolean,
    private server: EmbeddedPostgres,
  ) {}

  /** @param unsafe whether writes of the last half second may be lost when it is killed */
  static async start(folder = freshFolder(), unsafe = true): Promise<TestServer> {
    mkdirSync(folder, { recursive: true });
    return new TestServer(folder, unsafe, await EmbeddedPostgres.start({ folder, unsafe }));
  }

  get url(): string {
    return this.server.url;
  }
  get data(): string {
    return this.server.dataFolder;
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  /** Ends it like a crash, in the middle of its work. */
  kill(): void {
    process.kill(Number.parseInt(readFileSync(join(this.data, 'postmaster.pid'), 'utf8'), 10), 'SIGKILL');
  }

  async restart(): Promise<void> {
    this.server = await EmbeddedPostgres.start({
      folder: this.folder,
      unsafe: this.unsafe,
      port: Number(new URL(this.url).port),
    });
  }

  /** Restarts it as a standby of another one, which must have all its data. */
  async follow(other: TestServer): Promise<void> {
    makeStandby(this.data, other);
    await this.restart();
  }

  async query<Row = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      return (await client.query(text, values)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  async drop(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  // When the tests run as root, PostgreSQL runs as a user of its own, who must be able to enter the folder.
  chmodSync(folder, 0o755);
  return folder;
}

export interface Pair {
  primary: TestServer;
  standby: TestServer;
  close(): Promise<void>;
}

/** A primary, and a standby that streams from it: a copy of its data with another port. */
export async function startPair(): Promise<Pair> {
  const folder = freshFolder();
  const primary = await TestServer.start(join(folder, 'primary'));
  await primary.stop();
  execFileSync('cp', ['-a', join(folder, 'primary'), join(folder, 'standby')]);
  makeStandby(join(folder, 'standby', 'postgres'), primary);
  await primary.restart();
  const standby = await TestServer.start(join(folder, 'standby'));
  return {
    primary,
    standby,
    close: async () => {
      await standby.stop();
      await primary.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function makeStandby(data: string, source: TestServer): void {
  const { hostname, port, username, password } = new URL(source.url);
  const from = `host=${hostname} port=${port} user=${username} password=${password}`;
  writeFileSync(join(data, 'standby.signal'), '');
  appendFileSync(
    join(data, 'postgresql.conf'),
    `\nprimary_conninfo = '${from}'\nwal_retrieve_retry_interval = 200ms\n`,
  );
}
