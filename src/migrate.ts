import { loadConfig } from './config.js';
import { migrations } from './migrations.js';
import { migrate } from './platform/database/schema.js';

/** `npm run migrate`: brings the schema of DATABASE_URL up to date, and says what it did. */
async function main(): Promise<void> {
  const config = loadConfig();
  if (!config.DATABASE_URL)
    throw new Error('DATABASE_URL is missing: the embedded PostgreSQL is migrated by npm start.');
  const done = await migrate(config, migrations, (text) => process.stderr.write(`${text}\n`));
  process.stdout.write(done.length > 0 ? `Migrated: ${done.join(', ')}\n` : 'The schema is up to date.\n');
}

// As in main.ts.
process.report.excludeEnv = true;
main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
