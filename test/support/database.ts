import { randomBytes } from 'node:crypto';
import pg from 'pg';

const server = () => process.env.TEST_DATABASE_URL as string;

export interface TestDatabase {
  url: string;
  /** Runs a statement of the test. @returns its rows */
  query<Row = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

/** A new, empty database on the run's real PostgreSQL. */
export async function createDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withClient(server(), (client) => client.query(`CREATE DATABASE ${name}`));
  const url = new URL(server());
  url.pathname = `/${name}`;
  return {
    url: url.href,
    query: async <Row>(text: string, values: unknown[] = []) =>
      withClient(url.href, async (client) => (await client.query(text, values)).rows as Row[]),
    drop: async () => {
      await withClient(server(), (client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`));
    },
  };
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
