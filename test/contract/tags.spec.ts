import fc from 'fast-check';
import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { etagOf, makeCollection, makeRecord } from '../support/collections.js';

let app: TestApp;
let clients: Client[];
let records: string;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: '0' });
  const ada = await app.user('ada');
  const again = () => app.client.signIn('ada@example.com', 'password-of-ada');
  clients = [ada, await again(), await again()];
  records = (await makeCollection(ada)).records;
});
afterAll(() => app?.close());

/** One step of one client, based on the last version that it saw. */
const step = fc.record({
  who: fc.nat({ max: 2 }),
  what: fc.constantFrom('read', 'patch', 'put'),
  /** Whether it does not wait for the previous step. */
  atOnce: fc.boolean(),
});

/** One client's view of a record: the version that it last saw. */
class Reader {
  tag: string;
  count: number;
  constructor(
    private readonly client: Client,
    private readonly path: string,
    first: { tag: string; count: number },
    private readonly seen: Map<string, number>,
  ) {
    this.tag = first.tag;
    this.count = first.count;
  }

  /** @returns whether it wrote */
  async take(what: string): Promise<boolean> {
    const count = this.count + 1;
    const headers = { 'if-match': this.tag };
    if (what === 'patch') return this.wrote(await this.client.patch(this.path, { data: { count } }, headers), count);
    if (what === 'put') return this.wrote(await this.client.put(this.path, { data: { count } }, headers), count);
    const held = this.tag;
    const answer = await this.client.get(this.path, { 'if-none-match': held });
    if (answer.status === 304) expect(etagOf(answer)).toBe(held);
    else this.keep(answer);
    // An unchanged version is not sent again, and a new one is never withheld.
    if (answer.status === 200) expect(etagOf(answer)).not.toBe(held);
    return false;
  }

  private wrote(answer: Response, count: number): boolean {
    expect([200, 412]).toContain(answer.status);
    if (answer.status === 412) return false;
    expect(answer.body.data).toEqual({ count });
    this.keep(answer);
    return true;
  }

  /** Expects each tag to mean one state only, for all clients. */
  private keep(answer: Response): void {
    this.tag = etagOf(answer);
    this.count = answer.body.data.count;
    expect(this.seen.get(this.tag) ?? this.count).toBe(this.count);
    this.seen.set(this.tag, this.count);
  }
}

it('loses no update and never calls a changed record unchanged, however its clients interleave', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 24 }), async (steps) => {
      const [ada] = clients;
      if (!ada) throw new Error('no client');
      const { path, etag } = await makeRecord(ada, { records }, { count: 0 });
      const seen = new Map([[etag, 0]]);
      const readers = clients.map((client) => new Reader(client, path, { tag: etag, count: 0 }, seen));
      let running: Promise<boolean>[] = [];
      let writes = 0;
      const settle = async () => {
        writes += (await Promise.all(running)).filter(Boolean).length;
        running = [];
      };
      for (const { who, what, atOnce } of steps) {
        if (!atOnce) await settle();
        const reader = readers[who];
        if (reader) running.push(reader.take(what));
      }
      await settle();
      const last = await ada.get(path);
      expect(last.body.data.count).toBe(writes);
      // Every write made a version with its own tag, and every older tag gets the last version.
      expect([last.body.version, seen.size]).toEqual([writes + 1, writes + 1]);
      for (const [tag, count] of seen) {
        const { status } = await ada.get(path, { 'if-none-match': tag });
        expect([count, status]).toEqual([count, count === writes ? 304 : 200]);
      }
    }),
    { numRuns: 40, interruptAfterTimeLimit: 12_000, markInterruptAsFailure: false },
  );
});
