// npm run migration -- add-note orders: makes a migration in src/orders/ and lists it in src/migrations.ts. Without a module it
// goes to the shipped ones. TypeORM's generator would not do: it knows nothing of most of our indexes, and would drop them.
import { existsSync, writeFileSync } from 'node:fs';
import { NAME, pascal, registerMigration } from './source-edits.mjs';

const [name = '', module] = process.argv.slice(2);
const folder = module ?? 'platform/database/migrations';
const flaw = [
  [!NAME.test(name), 'Say what it does, in small letters: npm run migration -- add-note orders'],
  [!existsSync(`src/${folder}`), `There is no folder src/${folder}.`],
].find(([isWrong]) => isWrong);
if (flaw) {
  process.stderr.write(`${flaw[1]}\n`);
  process.exit(1);
}

const time = Date.now();
const migration = `${pascal(name)}${time}`;
const file = `${folder}/${time}-${name}`;
writeFileSync(
  `src/${file}.ts`,
  `import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ${migration} implements MigrationInterface {
  name = '${migration}';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE …');
  }

  /** What npm run migrate -- --down does. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE …');
  }
}
`,
);
registerMigration(migration, file);
process.stdout.write(`Made src/${file}.ts, and listed it in src/migrations.ts. Write its SQL, then:
  npm run migrate             (npm start does it, too, in development)
  npm run migrate -- --down   takes it back
`);
