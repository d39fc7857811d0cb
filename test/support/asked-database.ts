import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestDatabase } from './database.js';
import { TestServer } from './standby.js';

/** A database on a PostgreSQL of its own that logs every statement. */
export interface AskedDatabase extends TestDatabase {
  /** The number of reads of each record, by its id, in statements that read records by id. */
  reads(): Map<string, number>;
}

export async function createAskedDatabase(): Promise<AskedDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  // When the tests run as root, PostgreSQL runs as a user of its own, who must be able to enter the folder.
  chmodSync(folder, 0o755);
  const server = await TestServer.start(folder);
  await server.query(`ALTER SYSTEM SET log_statement = 'all'`);
  await server.query('SELECT pg_reload_conf()');
  const query = async <Row>(text: string, values: unknown[] = []) => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return (await client.query(text, values)).rows as Row[];
    } finally {
      await client.end();
    }
  };
  return {
    url: server.url,
    query,
    reads: () => {
      const log = readFileSync(join(server.data, 'server.log'), 'utf8');
      const reads = new Map<string, number>();
      // The statement of reads by id, and its parameters below.
      for (const [, ids = ''] of log.matchAll(
        / FROM records WHERE id = ANY[^\n]*\n[^\n]*DETAIL: +Parameters: \$1 = '\{([^}]*)\}'/g,
      ))
        for (const id of ids.split(',')) reads.set(id, (reads.get(id) ?? 0) + 1);
      return reads;
    },
    drop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
