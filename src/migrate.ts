import { type Config, loadConfig } from './config.js';
import { startEmbedded } from './embedded.js';
import { migrations } from './migrations.js';
import { migrate, revert } from './platform/database/schema.js';

const say = (text: string) => void process.stderr.write(`${text}\n`);

/**
 * `npm run migrate`: migrates the schema of DATABASE_URL or, in development without it, of the embedded PostgreSQL, and
 * prints what it did. `--down` reverts the last migration.
 */
async function main(): Promise<void> {
  const given = loadConfig();
  const embedded = given.DATABASE_URL ? undefined : await startEmbedded(given, say);
  try {
    process.stdout.write(`${await run(embedded ? { ...given, DATABASE_URL: embedded.url } : given)}\n`);
  } finally {
    await embedded?.stop();
  }
}

async function run(config: Config): Promise<string> {
  if (process.argv.includes('--down')) {
    const last = await revert(config, migrations, say);
    return last ? `Taken back: ${last}` : 'No migration was run.';
  }
  const done = await migrate(config, migrations, say);
  return done.length > 0 ? `Migrated: ${done.join(', ')}` : 'The schema is up to date.';
}

// As in main.ts.
process.report.excludeEnv = true;
main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
