import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { settings } from '../../src/config.js';

const page = readFileSync('docs/limits.md', 'utf8');
const cells = (line: string) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
/** The rows of the table with this header. */
function tableOf(header: string): string[][] {
  const lines = page.slice(page.indexOf(header)).split('\n');
  return lines.slice(2, lines.indexOf('')).map(cells);
}

const rows = tableOf('| what | default | variable | beyond it | test |').map(
  ([what, standard, variable, beyond, test]) => {
    const [, name = what as string] = /`(\w+)`/.exec(variable as string) ?? [];
    return { what, standard, variable, beyond, test, name } as Record<
      'what' | 'standard' | 'variable' | 'beyond' | 'test' | 'name',
      string
    >;
  },
);
const figureIn = (text: string) => Number(/\d[\d,]*/.exec(text)?.[0].replaceAll(',', ''));
const shape = settings.shape as Record<string, { safeParse(value: undefined): { data?: unknown } }>;
const source = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
  .map((file) => readFileSync(join('src', file), 'utf8'))
  .join('\n');

/** The value in the code: the setting's default or the constant's value. */
function inCode(name: string): unknown {
  if (shape[name]) return shape[name].safeParse(undefined).data;
  return Number(new RegExp(`^(?:export )?const ${name} = ([\\d_]+);$`, 'm').exec(source)?.[1]?.replaceAll('_', ''));
}

it('has a row for each kind of limit', () => {
  expect(rows.length).toBeGreaterThan(20);
  expect(rows.filter((row) => Object.values(row).some((cell) => !cell))).toEqual([]);
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
});

it.each(rows)('states the value of $name that the code has', ({ standard, variable, name }) => {
  if (variable === "Node's") return;
  expect(variable).toBe(shape[name] ? `\`${name}\`` : `fixed: \`${name}\``);
  expect(figureIn(standard)).toBe(inCode(name));
  const unit = /_(MS|BYTES)$/.exec(name)?.[1]?.toLowerCase();
  if (unit) expect(standard).toMatch(new RegExp(` ${unit}$`));
});

it.each(rows)('names a test that crosses $name', ({ name, test }) => {
  expect(existsSync(test)).toBe(true);
  expect(readFileSync(test, 'utf8')).toContain(`limit('${name}', `);
});

it('has every limit that a test crosses', () => {
  for (const file of new Set(rows.map(({ test }) => test))) {
    const crossed = [...readFileSync(file, 'utf8').matchAll(/^ *limit\('([^']+)', /gm)].map(([, name]) => name);
    const named = rows.filter(({ test }) => test === file).map(({ name }) => name);
    expect(crossed.sort()).toEqual(named.sort());
  }
});

it('has every setting that limits callers', () => {
  const isLimit = (name: string) => /LIMIT|MAX|TIMEOUT|QUEUE|CONCURRENCY|MEMORY|WAIT/.test(name);
  // Settings about other services, work without a caller, and the end of the process.
  const isOther = (name: string) => /^(?:DATABASE|MIGRATION|REDIS|OTEL|DRAIN|WEB|WEBHOOK|PUBLIC|JOB)_/.test(name);
  const limits = Object.keys(shape).filter((name) => isLimit(name) && !isOther(name));
  expect(limits.length).toBeGreaterThan(15);
  expect(limits.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

it('states the quotas and windows of the settings', () => {
  const quotas = tableOf('| what | how often | |');
  for (const [, figure, about] of quotas) {
    expect([about, figureIn(figure as string)]).toEqual([about, inCode(/`(\w+)`/.exec(about as string)?.[1] ?? '')]);
  }
  expect(quotas.length).toBeGreaterThan(3);
  expect(page).toContain(`**${inCode('RATE_LIMIT_REQUESTS')} requests a minute** (\`RATE_LIMIT_REQUESTS\``);
  expect(inCode('RATE_LIMIT_WINDOW_S')).toBe(60);
  expect(page).toContain(`in ${Number(inCode('AUTH_LIMIT_WINDOW_S')) / 60} minutes (\`AUTH_LIMIT_WINDOW_S\`)`);
});
