// npm run remove -- data: takes a module out of the project, with the tests that use its routes. Its tables stay.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const [name = ''] = process.argv.slice(2);
const folder = `src/${name}`;
/** Where modules are put together. */
const COMMON = ['src/app.module.ts', 'src/config.ts', 'src/migrations.ts'];

function stop(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

/** The texts of all TypeScript files of a folder, by their paths. */
function textsOf(root) {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const paths = files.map((file) => `${root}/${file.replaceAll('\\', '/')}`);
  return new Map(paths.map((path) => [path, readFileSync(path, 'utf8')]));
}

/** The project's own files that a file imports. */
function importsOf(path, text) {
  const imported = [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)];
  return imported.map(([, to]) =>
    normalize(join(dirname(path), to))
      .replaceAll('\\', '/')
      .replace(/\.js$/, '.ts'),
  );
}

const isInside = (path) => path.startsWith(`${folder}/`);

/** Of these files, those that use the module: they import from it or name its routes, or import one that does. */
function usersOf(texts, routes) {
  const imports = new Map([...texts].map(([path, text]) => [path, importsOf(path, text)]));
  const isDirect = ([path, text]) => imports.get(path).some(isInside) || routes.some((route) => text.includes(route));
  const found = new Set([...texts].filter(isDirect).map(([path]) => path));
  // A set's iteration meets what is added meanwhile.
  for (const used of found) for (const [path, all] of imports) if (all.includes(used)) found.add(path);
  return [...found];
}

/** Takes out the imports from the module, and what they name. */
function withoutImports(path) {
  const line = new RegExp(`^import \\{ (\\w+) \\} from '\\./${name}/[^']+';\n`, 'gm');
  let text = readFileSync(path, 'utf8');
  const classes = [...text.matchAll(line)].map(([, imported]) => imported);
  text = text.replace(line, '');
  for (const one of classes) text = text.replace(new RegExp(`,\\s*(?:\\.{3})?${one}\\b|(?:\\.{3})?\\b${one},\\s*`), '');
  writeFileSync(path, text);
}

/** Leaves the words of links that lead nowhere now. */
function withoutLinks(path) {
  const text = readFileSync(path, 'utf8');
  const isGone = (to) => !existsSync(`docs/${to}`);
  writeFileSync(
    path,
    text.replace(/\[([^\]]*)\]\((\.\.\/test\/[^)#]*)\)/g, (link, words, to) => (isGone(to) ? words : link)),
  );
}

if (!/^[a-z][a-z0-9-]*$/.test(name) || name === 'platform' || !existsSync(`${folder}/${name}.module.ts`))
  stop('Say which module is to go: npm run remove -- data');
const source = textsOf('src');
const bound = [...source].filter(
  ([path, text]) => !isInside(path) && !COMMON.includes(path) && importsOf(path, text).some(isInside),
);
if (bound.length > 0) stop(`${name} has to stay, since others import it: ${bound.map(([path]) => path).join(', ')}`);

const routes = [...source].flatMap(([path, text]) =>
  isInside(path) ? [...text.matchAll(/@Controller\('\/?([^'/]+[^']*)'\)/g)].map(([, route]) => route) : [],
);
const tests = usersOf(textsOf('test'), routes);
for (const path of [folder, ...tests]) rmSync(path, { recursive: true });
for (const path of COMMON) withoutImports(path);
for (const path of readdirSync('docs').filter((file) => file.endsWith('.md'))) withoutLinks(`docs/${path}`);
process.stdout.write(`Removed ${folder}, and ${tests.length} files of test/ that use it. Its tables stay until a migration drops them. Then:
  npm run format && npm run documents && npm test
`);
