// npm run new -- orders [order]: makes a module of one resource in src/, with its migration and spec, from the templates in
// scripts/new/, and builds it in. The second word is what one of them is called, where that is not the first without its s.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { camel, edit, NAME, pascal, registerMigration, words } from './source-edits.mjs';

const TEMPLATES = new URL('new/', import.meta.url);

const [plural = '', singular = singularOf(plural)] = process.argv.slice(2);

function singularOf(word) {
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  return word.replace(/(?<=ss|x|ch|sh)es$|s$/, '');
}

const folder = `src/${plural}`;
const flaw = [
  [!NAME.test(plural) || !NAME.test(singular), 'Say what they are called, in small letters: npm run new -- orders'],
  [plural === singular, `Say what one of the ${plural} is called, too: npm run new -- ${plural} ${plural}-item`],
  [existsSync(folder), `There is a folder ${folder} already.`],
].find(([isWrong]) => isWrong);
if (flaw) {
  process.stderr.write(`${flaw[1]}\n`);
  process.exit(1);
}

const snake = (name) => name.replaceAll('-', '_');

const time = String(Date.now());
/** Where the templates have `thing`: in names of files, in TypeScript, and in SQL and what stands in quotes. */
const named = (text) =>
  text
    .replaceAll('../../src/', '../')
    .replaceAll('1800000000000', time)
    .replaceAll('/api/v1/things', `/api/v1/${plural}`)
    .replace("ApiTags('things')", `ApiTags('${plural}')`)
    .replace("name: 'thing'", `name: '${words(singular).join(' ')}'`)
    .replace(/(?<=\.\/)things?(?=[.-])/g, (word) => (word === 'things' ? plural : singular))
    .replace(/(?<=(?:TABLE|ON|INDEX) |@Entity\(')things(?=\w*)/g, snake(plural))
    .replaceAll('Things', pascal(plural))
    .replaceAll('Thing', pascal(singular))
    .replaceAll('things', camel(plural))
    .replace(/(?<!no)thing/g, camel(singular));

const fileOf = (template) =>
  template.replace('1800000000000', time).replace('things', plural).replace('thing', singular);

mkdirSync(folder);
for (const template of readdirSync(TEMPLATES))
  writeFileSync(`${folder}/${fileOf(template)}`, named(readFileSync(new URL(template, TEMPLATES), 'utf8')));

const module = `${pascal(plural)}Module`;
edit('src/app.module.ts', [
  [/(?=\nimport \{ UsersModule \})/, `\nimport { ${module} } from './${plural}/${plural}.module.js';`],
  [/(const FEATURES = \[[^\]]*?)(,?\s*\];)/, `$1, ${module}$2`],
]);
registerMigration(`${pascal(plural)}${time}`, `${plural}/${time}-${plural}`);
process.stdout.write(`Made ${folder}, and built it in: src/app.module.ts, src/migrations.ts.
Its columns stand in the entity, the schema and the migration. Then:
  npm run format && npm run documents && npm test -- ${folder}/${plural}.e2e.spec.ts
`);
