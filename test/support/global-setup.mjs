import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedPostgres } from '../../scripts/embedded-postgres.ts';

/** One real PostgreSQL for the whole run; every test file makes databases of its own in it. TEST_DATABASE_URL has another one used. */
export default async function globalSetup() {
  if (process.env.TEST_DATABASE_URL) return;
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  // As root, PostgreSQL runs as a user of its own, who must be able to go there.
  chmodSync(folder, 0o755);
  globalThis.testPostgres = { folder, server: await EmbeddedPostgres.start({ folder, unsafe: true }) };
  process.env.TEST_DATABASE_URL = globalThis.testPostgres.server.url;
}
