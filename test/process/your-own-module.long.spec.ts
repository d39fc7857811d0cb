import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { copyWithModule } from '../../scripts/copy-with-module.js';

const page = readFileSync('docs/your-own-module.md', 'utf8');
/** The files that the page shows, by path; below, the commands to type, in order. */
const files = [...page.matchAll(/^`(src\/[^`]+)`\n```ts\n([\s\S]*?)^```$/gm)].map(
  ([, path, text]) => [path as string, text as string] as const,
);
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, text]) =>
  (text as string).trim().split('\n'),
);

/** The commands at the end of the page. */
const REMOVAL = ['npm run remove -- data', 'npm run format && npm run documents && npm test'];

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-module-'));
  await copyWithModule({ folder, files: {} });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Types a command in the copy. @throws Error with the output, when it fails */
async function type(command: string): Promise<string> {
  const { NODE_OPTIONS, TEST_PROCESSES, ...env } = process.env;
  try {
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', command], { cwd: folder, env });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command}:\n${stdout}${stderr}`);
  }
}

/** Uses the names of the page's module; the tests' own has others, so that a team can have `orders` beside it. */
const asOnPage = (text: string) =>
  text
    .replaceAll('../../src/', '../')
    .replace(/sample[-_ ]?order/g, 'order')
    .replaceAll('sampleOrder', 'order')
    .replaceAll('SampleOrder', 'Order');

/** Removes line breaks, which depend on the length of names. */
const unwrapped = (text = '') => text.replace(/\s+/g, '').replace(/,(?=[)\]}])/g, '');

it('shows the files of the module that the tests and the bench use', () => {
  const own = readdirSync('test/sample-orders');
  expect(own.length).toBeGreaterThan(4);
  for (const name of own) {
    const text = asOnPage(readFileSync(`test/sample-orders/${name}`, 'utf8'));
    const shown = files.find(([path]) => path === `src/orders/${asOnPage(name)}`)?.[1];
    expect([name, unwrapped(shown)]).toEqual([name, unwrapped(text)]);
  }
});

it('leads to a tested module that all general tests include', async () => {
  const [make, ...rest] = commands.slice(0, -REMOVAL.length);
  expect([make, ...rest]).toEqual([
    'npm run new -- orders',
    'npm run format',
    'npm run documents',
    'npm test -- src/orders/orders.e2e.spec.ts',
    'npm test',
  ]);
  await type(make as string);
  const [migration = ''] = readdirSync(join(folder, 'src/orders')).filter((name) => /^\d+-orders\.ts$/.test(name));
  const time = migration.slice(0, 13);
  for (const [path, text] of files)
    writeFileSync(join(folder, path.replace('1800000000000', time)), text.replaceAll('1800000000000', time));
  for (const command of rest.slice(0, -1)) await type(command);
  await type('npm run lint');
  await type('npm run typecheck');
  // The parts of `npm test` that a module could break.
  const walks = [
    'test/contract',
    'test/e2e/public-path.spec.ts',
    'test/e2e/edge-routes.spec.ts',
    'test/security',
    'test/architecture.spec.ts',
    'test/documents.spec.ts',
  ];
  expect(await type(`npm test -- --reporters default --testPathPatterns ${walks.join(' ')}`)).toMatch(
    /Tests: .* passed/,
  );
}, 600_000);

it('works with the additional route that the page shows', async () => {
  const [, method = ''] = /^```ts\n(@Get\('by-number[\s\S]*?)^```$/m.exec(page) ?? [];
  const edit = (name: string, ...edits: [from: string, to: string][]) => {
    const path = join(folder, 'src/orders', name);
    let text = readFileSync(path, 'utf8');
    for (const [from, to] of edits) {
      expect(text).toContain(from);
      text = text.replace(from, () => to);
    }
    writeFileSync(path, text);
  };
  edit(
    'orders.controller.ts',
    ['  @route.CreateRoute(orders)', `${method}\n  @route.CreateRoute(orders)`],
    ['constructor(', 'constructor(@InjectRepository(Order) private readonly rows: Repository<Order>, '],
    ['import { Body, Controller,', 'import { Body, Controller, Get,'],
    [
      "import * as route from '../platform/resource/routes.js';",
      `import * as route from '../platform/resource/routes.js';
      import { InjectRepository } from '@nestjs/typeorm';
      import { Repository } from 'typeorm';
      import { AtEdge } from '../platform/edge/at-edge.js';
      import { Operation } from '../platform/http/operation.js';
      import { notFound } from '../platform/http/problem.js';`,
    ],
    ['orderQuery,', 'orderQuery, orderSchema,'],
  );
  edit(
    'orders.contract.ts',
    ['listOrders:', 'getOrderByNumber: { one: [401, 404, 200, 404] }, listOrders:'],
    ['return { values: { id: made.body.id } };', 'return { values: { id: made.body.id, number: made.body.number } };'],
    ['bodies:', "absent: { getOrderByNumber: 'NONE-1' }, bodies:"],
  );
  await type('npm run format && npm run documents && npm run typecheck');
  const walks = 'test/contract test/e2e/edge-routes.spec.ts test/security/a';
  expect(await type(`npm test -- --reporters default --testPathPatterns ${walks}`)).toMatch(/Tests: .* passed/);
}, 600_000);

it('makes a module that passes unchanged, whatever its name', async () => {
  await type('npm run new -- price-lists');
  await type('npm run format && npm run lint && npm run typecheck');
  expect(await type('npm test -- src/price-lists/price-lists.e2e.spec.ts')).toMatch(/Tests: .* passed/);
  await expect(type('npm run new -- price-lists')).rejects.toThrow('There is a folder src/price-lists already.');
  await expect(type('npm run new -- Orders')).rejects.toThrow('Say what they are called, in small letters');
  await expect(type('npm run new -- sheep')).rejects.toThrow('Say what one of the sheep is called, too');
}, 600_000);

it('removes `data` as the page says, and everything else passes, including the modules beside it', async () => {
  expect(commands.slice(-REMOVAL.length)).toEqual(REMOVAL);
  await expect(type('npm run remove -- users')).rejects.toThrow(/users has to stay, since others import it: .*auth/);
  await expect(type('npm run remove -- date')).rejects.toThrow('Say which module is to go');
  for (const command of REMOVAL) expect(await type(command)).toMatch(/Removed src\/data|Tests: .* passed/);
  const { paths } = JSON.parse(readFileSync(join(folder, 'openapi.json'), 'utf8'));
  expect(Object.keys(paths).filter((path) => path.startsWith('/api/v1/data'))).toEqual([]);
  await type('npm run lint && npm run typecheck');
}, 900_000);
