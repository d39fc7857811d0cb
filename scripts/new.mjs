// npm run new -- orders [order]: makes a module of one resource in src/, with its migration and spec, from the templates in
// scripts/new/, and builds it in. The second word is what one of them is called, where that is not the first without its s.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const TEMPLATES = new URL('new/', import.meta.url);
const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;

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

const words = (name) => name.split('-');
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
const pascal = (name) => words(name).map(capital).join('');
const camel = (name) => words(name)[0] + words(name).slice(1).map(capital).join('');
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

/** Puts a line where the anchor is found. */
function edit(path, edits) {
  let text = readFileSync(path, 'utf8');
  for (const [anchor, replacement] of edits) {
    if (!anchor.test(text)) throw new Error(`${path} is not as it was: add ${pascal(plural)} there yourself.`);
    text = text.replace(anchor, replacement);
  }
  writeFileSync(path, text);
}

mkdirSync(folder);
for (const template of readdirSync(TEMPLATES))
  writeFileSync(`${folder}/${fileOf(template)}`, named(readFileSync(new URL(template, TEMPLATES), 'utf8')));

const [module, migration] = [`${pascal(plural)}Module`, `${pascal(plural)}${time}`];
edit('src/app.module.ts', [
  [/(?=\nimport \{ UsersModule \})/, `\nimport { ${module} } from './${plural}/${plural}.module.js';`],
  [/(const FEATURES = \[[^\]]*?)(,?\s*\];)/, `$1, ${module}$2`],
]);
edit('src/migrations.ts', [
  [/(?=import)/, `import { ${migration} } from './${plural}/${time}-${plural}.js';\n`],
  [/(migrations: Migration\[\] = \[[^\]]*?)(,?\s*\];)/, `$1, ${migration}$2`],
]);
process.stdout.write(`Made ${folder}, and built it in: src/app.module.ts, src/migrations.ts.
Its columns stand in the entity, the schema and the migration. Then:
  npm run format && npm run documents && npm test -- ${folder}/${plural}.e2e.spec.ts
`);
