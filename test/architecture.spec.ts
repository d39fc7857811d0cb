import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const SOURCE = 'src';
/** The shipped parts of the project; a module of your own is beside them, and is a feature like them. */
const SHIPPED = ['users', 'auth', 'data', 'health', 'admin', 'platform', 'jobs', 'root'];
/** Files to which every module adds lines. */
const COMMON = /^(?:app\.module|migrations|config)\.ts$/;

interface Import {
  from: string;
  to: string;
  isTypeOnly: boolean;
}

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !/\.(?:spec|contract)\.ts$/.test(file))
  .map((file) => file.replaceAll('\\', '/'));

const imports: Import[] = files.flatMap((from) => importsOf(from, readFileSync(join(SOURCE, from), 'utf8')));

/** The local imports and re-exports of a file, static and dynamic, by their paths below src. */
function importsOf(from: string, text: string): Import[] {
  const statement = /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?'(\.[^']+)'|import\('(\.[^']+)'\)/g;
  return [...text.matchAll(statement)].map(([, type, path, dynamic]) => ({
    from,
    to: relative('.', normalize(join(dirname(from), (path ?? dynamic) as string))).replace(/\.js$/, '.ts'),
    isTypeOnly: type !== undefined,
  }));
}

const roomOf = (file: string) => (file.includes('/') ? (file.split('/')[0] as string) : 'root');
const isFeature = (room: string) => room !== 'platform' && room !== 'root';

/** The providers that a feature's module exports, by the file names of Nest's convention. */
function exportedBy(feature: string): string[] {
  const text = readFileSync(join(SOURCE, feature, `${feature}.module.ts`), 'utf8');
  const names = /exports: \[([^\]]*)\]/.exec(text)?.[1]?.split(',') ?? [];
  return names.map((name) => `${feature}/${kebab(name.trim())}.ts`);
}

const kebab = (name: string) =>
  name
    .replace(/(Service|Guard)$/, '.$1')
    .replace(/([a-z])([A-Z])/g, '$1-$2')
    .toLowerCase();

const mayBeImported = (to: string) =>
  to.endsWith('.module.ts') || to.endsWith('.schema.ts') || exportedBy(roomOf(to)).includes(to);

const said = (found: Import[]) => found.map(({ from, to }) => `${from} imports ${to}`);

it('finds every import, each of an existing file', () => {
  expect(files.length).toBeGreaterThan(50);
  expect(imports.length).toBeGreaterThan(150);
  expect(said(imports.filter(({ to }) => !files.includes(to)))).toEqual([]);
});

it('keeps platform independent of features and of the app that combines them', () => {
  const wrong = imports.filter(({ from, to }) => roomOf(from) === 'platform' && roomOf(to) !== 'platform');
  expect(said(wrong)).toEqual([]);
});

it('lets a feature import from another only its module, exported services, schemas and types', () => {
  const wrong = imports.filter(({ from, to, isTypeOnly }) => {
    const isForeign = isFeature(roomOf(from)) && isFeature(roomOf(to)) && roomOf(from) !== roomOf(to);
    return isForeign && !isTypeOnly && !mayBeImported(to);
  });
  expect(said(wrong)).toEqual([]);
});

it('lets only main import the app, and only the app its modules', () => {
  const root = ['app.ts', 'app.module.ts', 'main.ts', 'migrate.ts'];
  const wrong = imports.filter(({ from, to }) => root.includes(to) && !root.includes(from));
  expect(said(wrong)).toEqual([]);
  expect(said(imports.filter(({ to }) => to === 'app.ts'))).toEqual(['main.ts imports app.ts']);
});

it('has no circle of imports', () => {
  const targets = new Map(files.map((file) => [file, imports.filter(({ from }) => from === file).map(({ to }) => to)]));
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of targets.get(file) ?? []) {
      const circle = visit(next, [...path, file]);
      if (circle) return circle;
    }
    done.add(file);
    return undefined;
  };
  expect(files.map((file) => visit(file, [])).filter(Boolean)).toEqual([]);
});

it('keeps files short, and the shipped code under 14,150 lines, without comments and blank lines', () => {
  const lines = files.map((file) => [file, readFileSync(join(SOURCE, file), 'utf8').split('\n')] as const);
  const long = lines.filter(([, { length }]) => length > 250);
  expect(long.map(([file, { length }]) => `${file} has ${length} lines`)).toEqual([]);
  const isCode = (line: string) => /\S/.test(line) && !/^\s*(?:\/\/|\/?\*|--)/.test(line);
  const shipped = lines.filter(([file]) => SHIPPED.includes(roomOf(file)) && !COMMON.test(file));
  expect(shipped.flatMap(([, text]) => text.filter(isCode)).length).toBeLessThan(14_150);
});
