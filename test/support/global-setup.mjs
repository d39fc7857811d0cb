import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedPostgres } from '../../scripts/embedded-postgres.ts';
import { abandon, interrupt, SIGNALS } from './global-teardown.mjs';

/** One real PostgreSQL for the whole run, in which every test file makes its own databases. TEST_DATABASE_URL selects another one. */
export default async function globalSetup() {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  // When the tests run as root, PostgreSQL runs as a user of its own, who must be able to enter the folder.
  chmodSync(folder, 0o755);
  const processes = join(folder, 'processes');
  mkdirSync(processes);
  process.env.TEST_PROCESSES = processes;
  globalThis.testRun = { folder, processes };
  process.on('exit', abandon);
  for (const signal of SIGNALS) process.on(signal, interrupt);
  if (process.env.TEST_DATABASE_URL) return;
  const run = globalThis.testRun;
  run.starting = EmbeddedPostgres.start({ folder, unsafe: true });
  run.postgres = await run.starting;
  process.env.TEST_DATABASE_URL = run.postgres.url;
}
