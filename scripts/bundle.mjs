// Makes two files of what tsc made: dist/floodgate.cjs, the app, and dist/migrate.cjs. They start in half the time and
// take less memory. CommonJS, since an import of node:http in a module would load all that can be had from there.
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { decode, encode } from '@jridgewell/sourcemap-codec';
import { build } from 'esbuild';
import { EXTERNAL } from './external.mjs';
import './needed-node.cjs';

/**
 * Loaded for nothing, and a third of the bundle: TypeORM's drivers of other databases, its search for files and its
 * printer of SQL; the commands of Redis' modules; Zod's messages in all languages; Fastify's compilers of JSON schemas;
 * Swagger's YAML; Nest's look into uploaded files.
 */
const UNUSED = new RegExp(
  [
    /typeorm.driver.(aurora|better-sqlite3|capacitor|cockroachdb|cordova|expo|mongodb|mysql|nativescript|oracle|react-native|sap|spanner|sqlite|sqljs|sqlserver)/,
    /node_modules.(glob|tinyglobby|@sqltools.formatter|js-yaml|file-type)\//,
    /@redis.(bloom|graph|json|search|time-series)/,
    /zod.v4.locales.index/,
    /node_modules.(ajv.|ajv-formats.|fast-json-stringify.index|@fastify.(ajv|fast-json-stringify)-compiler.)/,
  ]
    .map(({ source }) => source)
    .join('|'),
);
const OWN = '../src/';

const fit = {
  name: 'fit',
  setup({ onLoad, onResolve, resolve }) {
    // prom-client has it for exemplars of its own histograms, and ours has its own: it is loaded where there is a collector.
    onResolve({ filter: /^@opentelemetry\/api$/ }, ({ importer, path }) =>
      importer.includes('prom-client') ? { path, namespace: 'unused' } : undefined,
    );
    // Packages that others can do without, and we do.
    onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, ...importer }) => {
      if (pluginData) return undefined;
      const { errors } = await resolve(path, { ...importer, pluginData: true });
      return errors.length > 0 ? { path, external: true } : undefined;
    });
    onLoad({ filter: UNUSED }, () => ({ contents: 'module.exports = {}' }));
    onLoad({ filter: /./, namespace: 'unused' }, () => ({ contents: 'module.exports = {}' }));
    // Else these would load a second TypeORM and a second Swagger from node_modules.
    onLoad({ filter: /@nestjs.*\.js$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replace('const require = createRequire(import.meta.url);', ''),
    }));
  },
};

/** Leaves in a map what is ours, and of a library's file where it begins: a tenth, to be read when an error is logged. */
async function shorten(file) {
  const map = JSON.parse(await readFile(file, 'utf8'));
  let last;
  const isNeeded = ([, source]) => {
    const isNew = source !== last;
    last = source;
    return isNew || map.sources[source].startsWith(OWN);
  };
  const lines = decode(map.mappings).map((line) => line.filter(isNeeded).map((segment) => segment.slice(0, 4)));
  await writeFile(file, JSON.stringify({ ...map, names: [], mappings: encode(lines) }));
}

const neededNode = await readFile('scripts/needed-node.cjs', 'utf8');

await build({
  entryPoints: { bundle: 'dist/main.js', migrate: 'dist/migrate.js' },
  outdir: 'dist',
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  define: { 'import.meta.url': '__url', 'import.meta.filename': '__filename' },
  banner: { js: `${neededNode}const __url = require('node:url').pathToFileURL(__filename).href;` },
  // All of it that is needed: `redis` adds the modules.
  alias: { redis: '@redis/client' },
  external: EXTERNAL,
  plugins: [fit],
  // No shorter names, and short lines, so that a stack can be read without the map.
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 200,
  sourcemap: 'linked',
  sourcesContent: false,
});
await shorten('dist/bundle.cjs.map');
await shorten('dist/migrate.cjs.map');

// What V8 compiled is kept beside, for the very options of `npm start`: with others it would be thrown away. A first run,
// which ends at a wrong setting, fills it for all that the start evaluates and for the clients of PostgreSQL and Redis.
await writeFile(
  'dist/floodgate.cjs',
  `require('node:module').enableCompileCache?.(require('node:path').join(__dirname, 'compiled'));\nrequire('./bundle.cjs');\n`,
);
const { scripts } = JSON.parse(await readFile('package.json', 'utf8'));
const clients = ['pg', 'pg-copy-streams', '@redis/client'].flatMap((name) => ['--require', name]);
const env = { NODE_ENV: 'none', NODE_COMPILE_CACHE: 'dist/compiled' };
spawnSync(process.execPath, [...clients, ...scripts.start.split(' ').slice(2)], { env });
