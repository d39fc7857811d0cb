import { ask } from '../support/ask.js';
import type { Client, Response } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';

const LONG = 'x'.repeat(2000);

let two: Replicas;
let owner: Client;
beforeAll(async () => {
  two = await startReplicas();
  owner = await two.user();
}, 60_000);
afterAll(() => two?.close());

const plain = (tag: string) => tag.replace(/-(?:br|zstd|gzip)"$/, '"');
const variant = (tag: string, encoding: string) => (encoding === 'identity' ? tag : tag.replace(/"$/, `-${encoding}"`));

type Change = (tag: string, n: number) => Promise<Response>;
const things: [
  name: string,
  isPublic: boolean,
  make: () => Promise<{ path: string; tag: string; changes: Change[] }>,
][] = [
  ...(['public', 'private'] as const).map((visibility): (typeof things)[number] => [
    `a ${visibility} record`,
    visibility === 'public',
    async () => {
      const { path, etag } = await makeRecord(owner, await makeCollection(owner, visibility), { n: 0, LONG });
      return {
        path,
        tag: plain(etag),
        changes: [
          (tag, n) => owner.put(path, { data: { n, LONG } }, { 'if-match': tag }),
          (tag, n) => owner.patch(path, { data: { n } }, { 'if-match': tag }),
          // A change to the same value makes a new version as well.
          (tag) => owner.patch(path, {}, { 'if-match': tag }),
        ],
      };
    },
  ]),
  [
    'a collection',
    true,
    async () => {
      const { path, etag } = await makeCollection(owner);
      const put = (tag: string, n: number) =>
        owner.put(path, { visibility: 'public', description: `${n}${LONG.slice(0, 900)}` }, { 'if-match': tag });
      const again = async (tag: string) => {
        must(204, await owner.delete(path, { 'if-match': tag }));
        return owner.put(path, { visibility: 'public', description: LONG.slice(0, 990) });
      };
      return { path, tag: plain(etag), changes: [put, again, put] };
    },
  ],
  [
    'a user',
    false,
    async () => {
      const path = `/api/v1/users/${owner.userId}`;
      const patch = (tag: string, n: number) => owner.patch(path, { name: `User ${n}` }, { 'if-match': tag });
      return { path, tag: plain(etagOf(must(200, await owner.get(path)))), changes: [patch, patch] };
    },
  ],
];

it.each(things)('304 follows every change of %s, in all variants, on both processes', async (_name, isPublic, make) => {
  const { path, tag: first, changes } = await make();
  const callers = isPublic ? [two.here.anyone, owner] : [owner];
  const processes = [callers, callers.map((client) => at(two.there, client))];
  const tags = [first];
  const expectNow = async () => {
    for (const client of processes.flat()) {
      const authorization = client.tokens && { authorization: `Bearer ${client.tokens.accessToken}` };
      for (const encoding of ['identity', 'gzip', 'br', 'zstd']) {
        const found = async (tag?: string) => {
          const known = tag && { 'if-none-match': variant(tag, encoding) };
          return ask(client.url + path, { 'accept-encoding': encoding, ...authorization, ...known });
        };
        const whole = await found();
        expect([whole.status, plain(whole.headers.etag as string)]).toEqual([200, tags.at(-1)]);
        for (const tag of tags) {
          const { status, headers, bytes } = await found(tag);
          const isNow = tag === tags.at(-1);
          expect([status, headers.etag, bytes.length]).toEqual([
            isNow ? 304 : 200,
            whole.headers.etag,
            isNow ? 0 : whole.bytes.length,
          ]);
        }
      }
    }
  };
  await expectNow();
  for (const [n, change] of changes.entries()) {
    const answer = await change(tags.at(-1) as string, n + 1);
    expect([200, 201]).toContain(answer.status);
    tags.push(plain(etagOf(answer)));
    expect(new Set(tags).size).toBe(tags.length);
    // Time for the message to arrive.
    await pause(500);
    await expectNow();
  }
});
