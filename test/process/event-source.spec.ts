import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { startApp, type TestApp } from '../support/app.js';
import { openBrowser, openTab } from '../support/browser.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, until } from '../support/collections.js';
import { EventReader } from '../support/events.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { describeWith } from '../support/program.js';
import { started } from '../support/started.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
let between: Forwarder;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
beforeEach(async () => {
  [set, between] = await Promise.all([makeCollection(ada), forward(app.url)]);
});
afterEach(() => between?.close());
afterAll(() => app?.close());

/** The numbers of three records: one seen live, one written while the reader is cut off, one after it has come back. */
async function seenBy(numbers: () => Promise<number[]>): Promise<number[]> {
  await makeRecord(ada, set, { n: 1 });
  await until(async () => (await numbers()).includes(1));
  await between.cut();
  await makeRecord(ada, set, { n: 2 });
  await between.mend();
  await until(async () => (await numbers()).includes(2), 30);
  await makeRecord(ada, set, { n: 3 });
  await until(async () => (await numbers()).includes(3));
  return numbers();
}

/** A script of a page, or of Node: it notes each event's number. */
const listenTo = (url: string) => `
  globalThis.numbers = [];
  globalThis.source = new EventSource(${JSON.stringify(url)});
  source.addEventListener('created', ({ data }) => numbers.push(JSON.parse(data).data.n));
  source.onopen = () => globalThis.isOpen = true;`;

describeWith('chromium', "a browser's EventSource", () => {
  it('comes back by itself and misses nothing', async () => {
    const browser = await openBrowser();
    try {
      const { page, complaints } = await openTab(browser, new URL(between.url).origin, 'laptop');
      await page.goto(new URL('/docs', between.url).href);
      await page.evaluate(listenTo(`${set.path}/changes`));
      // The page's policy forbids what waitForFunction() does.
      await until(() => page.evaluate('globalThis.isOpen === true'));
      expect(await seenBy(() => page.evaluate('numbers'))).toEqual([1, 2, 3]);
      expect(complaints.filter((one) => !one.includes('ERR_'))).toEqual([]);
    } finally {
      await browser.close();
    }
  }, 180_000);
});

it("undici's EventSource, which Node has, comes back by itself and misses nothing", async () => {
  const script = `${listenTo(new URL(`${set.path}/changes`, between.url).href)}
    source.addEventListener('created', () => console.log(JSON.stringify(numbers)));
    source.addEventListener('open', () => console.log('[]'));
    // Its timer alone would not keep the process.
    setInterval(() => {}, 1000);`;
  const child = started(
    spawn(process.execPath, ['--experimental-eventsource', '--no-warnings', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  let numbers: number[] | undefined;
  createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
    numbers = JSON.parse(line);
  });
  try {
    await until(async () => numbers !== undefined, 30);
    expect(await seenBy(async () => numbers ?? [])).toEqual([1, 2, 3]);
  } finally {
    child.kill();
  }
}, 90_000);

it('an idle stream is kept open, and told how far it is', async () => {
  const reader = await EventReader.open(app.client, `${set.path}/changes`);
  await until(async () => reader.lastId !== '');
  const begin = reader.lastId;
  // A change elsewhere moves its position on.
  await makeRecord(ada, await makeCollection(ada), { n: 1 });
  await until(async () => reader.comments > 0, 30);
  expect(reader.events).toEqual([]);
  expect(Number(reader.lastId)).toBeGreaterThan(Number(begin));
  reader.close();
}, 60_000);
