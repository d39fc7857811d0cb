import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { ask } from '../support/ask.js';
import type { Client, Response } from '../support/client.js';
import { freshName, must } from '../support/collections.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';

const SEED = 20_260_131;
/** The other process may lag by this much. */
const BOUND_MS = 1000;
const CALLERS = ['stranger', 'other', 'owner', 'admin'] as const;
const ENCODINGS = ['identity', 'gzip', 'br', 'zstd'] as const;

let two: Replicas;
let clients: Record<(typeof CALLERS)[number], Client>;
beforeAll(async () => {
  two = await startReplicas();
  clients = { stranger: two.here.anyone, other: await two.user(), owner: await two.user(), admin: two.admin };
}, 60_000);
afterAll(() => two?.close());

/** A state of a name, from the beginning of the change that made it to the end of the one that replaced it. */
interface State {
  since: number;
  until: number;
  visibility?: 'public' | 'private';
  /** Unique entity tags and marks of the collection and its record. */
  tag?: string;
  mark?: string;
  record?: { path: string; tag: string; mark: string };
}

const step = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      name: fc.nat({ max: 1 }),
      change: fc.constantFrom('flip', 'flip', 'update', 'update', 'delete record', 'delete'),
      isWaitedFor: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      name: fc.nat({ max: 1 }),
      what: fc.constantFrom('record', 'collection', 'list'),
      who: fc.constantFrom(...CALLERS),
      isHere: fc.boolean(),
      method: fc.constantFrom('GET', 'GET', 'HEAD'),
      encoding: fc.constantFrom(...ENCODINGS),
      isConditional: fc.boolean(),
      isWaitedFor: fc.boolean(),
    }),
  },
);

const plain = (tag: string | null | undefined) => tag?.replace(/-(?:br|zstd|gzip)"$/, '"');
const unpack = {
  identity: (bytes: Buffer) => bytes,
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};
let marks = 0;
const nextMark = () => `mark-${++marks}-${'x'.repeat(1500)}`;

/** One name, its history and its changes, one at a time. */
class Collection {
  readonly path = `/api/v1/data/${freshName()}`;
  readonly states: State[] = [{ since: 0, until: Number.POSITIVE_INFINITY }];
  private last = Promise.resolve();
  private lastRecord = `${this.path}/records/0198c0de-0000-7000-8000-000000000000`;

  change(what: string): Promise<void> {
    this.last = this.last.then(() => this.apply(what));
    return this.last;
  }

  private get now(): State {
    return this.states.at(-1) as State;
  }

  private async apply(what: string): Promise<void> {
    const { owner } = clients;
    const before = this.now;
    const { record } = before;
    const ifMatch = (tag: string | undefined) => ({ 'if-match': tag ?? '' });
    if (before.visibility === undefined || what === 'flip') {
      const visibility = before.visibility === 'public' ? 'private' : 'public';
      const mark = nextMark().slice(0, 900);
      const headers = before.visibility ? ifMatch(before.tag) : {};
      await this.become(owner.put(this.path, { visibility, description: mark }, headers), (tag) => ({
        ...before,
        visibility,
        tag,
        mark,
      }));
    } else if (what === 'delete') {
      await this.become(owner.delete(this.path, ifMatch(before.tag)), () => ({}));
    } else if (!record) {
      const mark = nextMark();
      const made = (tag: string, path: string) => ({ ...before, record: { path, tag, mark } });
      await this.become(owner.post(`${this.path}/records`, { data: { mark } }), made);
    } else if (what === 'update') {
      const mark = nextMark();
      const changed = (tag: string) => ({ ...before, record: { ...record, tag, mark } });
      await this.become(owner.put(record.path, { data: { mark } }, ifMatch(record.tag)), changed);
    } else {
      await this.become(
        owner.delete(record.path, ifMatch(record.tag)),
        () => ({ ...before, record: undefined }) as object,
      );
    }
  }

  private async become(change: Promise<Response>, next: (tag: string, path: string) => Partial<State>): Promise<void> {
    const since = performance.now();
    const answer = await change;
    if (answer.status >= 300) must(200, answer);
    const until = performance.now();
    const state = next(plain(answer.headers.get('etag')) ?? '', answer.headers.get('location') ?? '');
    this.now.until = until;
    this.states.push({ ...state, since, until: Number.POSITIVE_INFINITY });
    this.lastRecord = this.now.record?.path ?? this.lastRecord;
  }

  /** @throws Error when the answer is not what this caller may see at that time */
  async read({ what, who, isHere, method, encoding, isConditional }: Read): Promise<void> {
    const path = { record: this.lastRecord, collection: this.path, list: `${this.path}/records` }[what];
    const client = isHere ? clients[who] : at(two.there, clients[who]);
    const known = isConditional ? this.tagOf(this.now, what, path) : undefined;
    const begun = performance.now();
    const answer = await ask(
      client.url + path,
      {
        'accept-encoding': encoding,
        ...(client.tokens ? { authorization: `Bearer ${client.tokens.accessToken}` } : {}),
        ...(known ? { 'if-none-match': known } : {}),
      },
      method,
    );
    const ended = performance.now();
    // The state of a running change is known only when it has ended.
    await this.last;
    const from = begun - (isHere ? 0 : BOUND_MS);
    const bytes =
      answer.bytes.length > 0 ? unpack[(answer.headers['content-encoding'] ?? 'identity') as 'gzip'](answer.bytes) : '';
    const found = [
      answer.status,
      answer.status < 400 ? (plain(answer.headers.etag) ?? '') : '',
      answer.status === 200 && method === 'GET' ? marksOf(bytes.toString()) : '',
    ];
    const states = this.states.filter(({ since, until }) => since <= ended && until >= from);
    // The other process may learn of a record's change before its collection's.
    const mixed = states.flatMap(({ record }) => states.map((state) => ({ ...state, record }) as State));
    const allowed = (isHere ? states : mixed).map((state) => this.expected(state, what, who, path, method, known));
    expect({ path, who, isHere, allowed }).toEqual({ path, who, isHere, allowed: expect.arrayContaining([found]) });
    if (who === 'stranger' && answer.status < 400) expect(answer.headers['cache-control']).not.toMatch(/private/);
  }

  private expected(state: State, what: string, who: string, path: string, method: string, known?: string): unknown[] {
    const isReader = state.visibility === 'public' || who === 'owner' || who === 'admin';
    if (state.visibility === undefined || !isReader || (what === 'record' && state.record?.path !== path))
      return [404, '', ''];
    const tag = this.tagOf(state, what, path);
    if (known && tag === known) return [304, tag, ''];
    const mark = what === 'collection' ? state.mark : state.record?.mark;
    return [200, tag ?? '', method === 'GET' ? (mark ?? '') : ''];
  }

  private tagOf(state: State, what: string, path: string): string | undefined {
    if (what === 'collection') return state.tag;
    return what === 'record' && state.record?.path === path ? state.record.tag : undefined;
  }
}

type Read = Extract<typeof step extends fc.Arbitrary<infer Step> ? Step : never, { what: unknown }>;

const marksOf = (text: string) => (text.match(/mark-\d+-x+/g) ?? []).join();

it('shows every caller the current state that they may see, and nothing else, however changes and reads interleave', async () => {
  const found = { reads: 0, changes: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 120 }), async (steps) => {
      const collections = [new Collection(), new Collection()];
      const running: Promise<void>[] = [];
      for (const one of steps) {
        const collection = collections[one.name] as Collection;
        const done = 'change' in one ? collection.change(one.change) : collection.read(one);
        'change' in one ? found.changes++ : found.reads++;
        done.catch(() => {});
        running.push(done);
        if (one.isWaitedFor) await done;
      }
      await Promise.all(running);
    }),
    { seed: SEED, numRuns: 60, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: false, endOnFailure: true },
  );
  expect(found.changes).toBeGreaterThan(50);
  expect(found.reads).toBeGreaterThan(200);
}, 120_000);
