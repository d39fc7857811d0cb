import { randomUUID } from 'node:crypto';
import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must } from '../support/collections.js';
import type { Clients } from '../support/contract.js';
import { makeFor, targetsOf } from '../support/contracts.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Operation, operations, pathOf } from '../support/operations.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';

const TIMES = 40;

/** The same guess twice: at a thing that the caller may not see, and at one that does not exist. */
interface Guess {
  operation: Operation;
  name: string;
  kind: string;
  there: string;
  absent: string;
  /** The two bodies, when the guess is in the body. */
  bodies?: [there: unknown, absent: unknown];
}

let database: TestDatabase;
/** One process has a cache and the other has none. */
let urls: Record<'with a cache' | 'without', string>;
let callers: Record<'nobody' | 'another user', Client>;
let guesses: Guess[];
let tags: string[];
beforeAll(async () => {
  database = await createDatabase();
  const settings = productionSettings(database.url);
  const url = await startMain(settings).url();
  urls = { 'with a cache': url, without: await startMain({ ...settings, CACHE_TTL_MS: '0', EDGE: 'false' }).url() };
  const anyone = new Client(url);
  const user = async (name: string) => {
    const credentials = { email: `${name}@example.com`, password: 'a-password-of-a-user' };
    must(201, await anyone.post('/api/v1/auth/register', { ...credentials, name }));
    return anyone.signIn(credentials.email, credentials.password);
  };
  const [owner, other] = [await user('owner'), await user('other')];
  callers = { nobody: anyone, 'another user': other };
  const hidden = await makeCollection(owner, 'private', 'hidden');
  const shown = await makeCollection(owner, 'public', 'shown');
  const own = await makeCollection(other, 'private', 'own');
  const record = await makeRecord(owner, hidden);
  tags = [hidden.etag, record.etag, etagOf(await owner.get('/api/v1/users/me'))];
  const unknown = record.id.replace(/.{6}$/, '0a0a0a');
  /** The values of the path for each kind of thing: existing and missing. */
  const places = {
    '/users/{id}': [[{ id: owner.userId }, { id: owner.userId.replace(/.{6}$/, '0a0a0a') }]],
    '/data/{collection}': [[{ collection: hidden.name }, { collection: 'absent' }]],
    '/data/{collection}/records/{id}': [
      [
        { collection: hidden.name, id: record.id },
        { collection: 'absent', id: record.id },
      ],
      ...[hidden, shown, own].map(({ name: collection }) => [
        { collection, id: record.id },
        { collection, id: unknown },
      ]),
    ],
  } as Record<string, Record<string, string>[][]>;
  const clients = {
    ...{ nobody: anyone, 'another user': other, 'the owner': owner, 'an admin': owner },
    newUser: () => user(randomUUID()),
  };
  for (const operation of operations) places[operation.id] = await placesBy(operation, clients);
  guesses = operations.flatMap((operation): Guess[] => {
    if (!operation.path.includes('{')) return [];
    const [kind = ''] = /\/\w+\/\{\w+\}(?:\/records\/\{id\})?/.exec(operation.path) ?? [];
    // For modules without a line above, the contract says what others may not see.
    const names = namesIn(operation);
    const isOfKind = places[kind]?.every(([there = {}]) => names.every((name) => name in there));
    const found = (isOfKind && places[kind]) || places[operation.id] || [];
    const at = (values: Record<string, string>) => pathOf(operation, values);
    return found.map(([there = {}, absent = {}]) => {
      const name = `${operation.id} ${there.collection ?? ''}`;
      const what =
        there.collection === absent.collection ? 'a record' : (there.collection && 'a collection') || 'a user';
      return { operation, name, kind: what, there: at(there), absent: at(absent) };
    });
  });
  const session = owner.tokens?.refreshToken.slice(0, 36) as string;
  for (const operation of operations.filter(({ id }) => ['refresh', 'logout'].includes(id))) {
    const bodies = [session, randomUUID()].map((id) => ({ refreshToken: `${id}.1.${'x'.repeat(43)}` })) as [
      unknown,
      unknown,
    ];
    guesses.push({
      operation,
      name: operation.id,
      kind: 'a session',
      there: operation.path,
      absent: operation.path,
      bodies,
    });
  }
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await database?.drop();
});

/** The parameters of the path, in their order. */
const namesIn = ({ path }: Operation) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);

/** The path of a thing that others may not see and that of a missing one, from a module's contract. */
async function placesBy(operation: Operation, clients: Clients): Promise<Record<string, string>[][]> {
  const last = namesIn(operation).at(-1);
  const [target] = targetsOf(operation).find(([, answers]) => answers[0] >= 400 && answers[1] >= 400) ?? [];
  if (last === undefined || target === undefined) return [];
  const { values } = await makeFor(operation, clients, target);
  return [[values, { ...values, [last]: operation.unknown[last] as string }]];
}

type Headers = Record<string, string>;

async function ask(client: Client, method: string, path: string, body: unknown, headers: Headers = {}) {
  const isText = body === undefined || typeof body === 'string';
  const begun = performance.now();
  const response = await fetch(client.url + path, {
    method,
    headers: {
      'x-request-id': 'a-guess',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(client.tokens ? { authorization: `Bearer ${client.tokens.accessToken}` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isText ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { ms: performance.now() - begun, status: response.status, headers: response.headers, text };
}

/** The whole answer except the date, the rest of the quota and the requested path. */
function saidIn({ status, headers, text }: Awaited<ReturnType<typeof ask>>, path: string): string {
  const named = [...headers].filter(([name]) => name !== 'date' && name !== 'ratelimit');
  return JSON.stringify([status, named, text]).replaceAll(path, '…');
}

const bodyOf = ({ operation, bodies }: Guess, which: 0 | 1) => bodies?.[which] ?? operation.body;
/** Trying to take a name shows whether it is taken; a request with If-Match does not try that. */
const isTaking = ({ operation }: Guess, headers: Headers = {}) =>
  operation.id === 'putCollection' && !headers['if-match'];

/** Variants of a request that may make a difference. */
function variants({
  operation: { method },
}: Guess): [method: string, query: string, headers: Headers, body?: unknown][] {
  const tagged = [...tags, '*', '"x"'].flatMap((tag) => [{ 'if-match': tag }, { 'if-none-match': tag }] as Headers[]);
  const any = { 'if-match': '*' };
  return [
    [method, '', {}],
    ...tagged.map((headers): [string, string, Headers] => [method, '', headers]),
    ...(method === 'GET' ? [['HEAD', '', {}] as [string, string, Headers]] : []),
    ['OPTIONS', '', { origin: 'https://example.com', 'access-control-request-method': method }],
    ['PURGE', '', {}],
    [method, '?limit=0', any],
    [method, '?cursor=x', any],
    [method, '/', any],
    [method, '', { ...any, accept: 'image/png' }],
    [method, '', { ...any, 'idempotency-key': 'a-guess' }],
    ...(method === 'GET'
      ? []
      : ([
          [method, '', any, '{'],
          [method, '', any, { bad: 1 }],
          [method, '', { ...any, 'content-type': 'text/plain' }, 'x'],
        ] as [string, string, Headers, unknown][])),
  ];
}

row(46, 'status, headers and text', async () => {
  const differing: string[] = [];
  const found = new Map<number, number>();
  let compared = 0;
  for (const [who, caller] of Object.entries(callers))
    for (const [where, url] of Object.entries(urls))
      for (const guess of guesses)
        for (const [method, query, headers, body] of variants(guess)) {
          if (isTaking(guess, headers)) continue;
          const client = new Client(url, caller.tokens);
          const [there, absent] = [
            await ask(client, method, guess.there + query, body ?? bodyOf(guess, 0), headers),
            await ask(client, method, guess.absent + query, body ?? bodyOf(guess, 1), headers),
          ];
          const [first, second] = [saidIn(there, guess.there), saidIn(absent, guess.absent)];
          const what = `${who}, ${where}: ${method} ${guess.name}${query} ${JSON.stringify(headers)}`;
          if (first !== second) differing.push(`${what}:\n${first}\n${second}`);
          else if (there.status < 400 && !['OPTIONS', 'HEAD'].includes(method) && guess.operation.id !== 'logout')
            differing.push(`${what}: ${first}`);
          found.set(there.status, (found.get(there.status) ?? 0) + 1);
          compared++;
        }
  expect(differing).toEqual([]);
  for (const caller of Object.values(callers))
    expect(must(200, await caller.get('/api/v1/data?limit=100')).text).not.toContain('hidden');
  const statuses = [...found].sort(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`);
  return { routes: new Set(guesses.map(({ operation }) => operation.id)).size, compared, statuses: statuses.join(' ') };
});

/** The time for the existing thing relative to the missing one, and in ms. */
async function compareTimes(client: Client, guess: Guess): Promise<{ ratio: number; ms: number }> {
  const times: [number[], number[]] = [[], []];
  for (let i = -5; i < TIMES; i++)
    for (const which of i % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const path = which === 0 ? guess.there : guess.absent;
      const { ms } = await ask(client, guess.operation.method, path, bodyOf(guess, which), { 'if-match': '"x"' });
      if (i >= 0) times[which].push(ms);
    }
  const [there, absent] = times.map((each) => quantile(each, 0.5)) as [number, number];
  return { ratio: there / absent, ms: there };
}

row(46, 'time', async () => {
  const ratios = new Map<string, number[]>();
  const times: number[] = [];
  for (const [who, caller] of Object.entries(callers))
    for (const [where, url] of Object.entries(urls))
      for (const guess of guesses) {
        const { ratio, ms } = await compareTimes(new Client(url, caller.tokens), guess);
        // Guesses at a session do not depend on the caller.
        const kind = guess.bodies ? guess.kind : `${who}, ${where}, ${guess.kind}`;
        ratios.set(kind, [...(ratios.get(kind) ?? []), ratio]);
        times.push(ms);
      }
  // All routes of one kind run the same first query: a real difference shows on each of them, chance does not.
  const typical = [...ratios].map(([kind, each]) => ({ kind, ratio: quantile(each, 0.5) }));
  // One query more or less would change the time by half or more.
  expect(typical.filter(({ ratio }) => ratio < 1 / 1.3 || ratio > 1.3)).toEqual([]);
  const sorted = typical.toSorted((a, b) => a.ratio - b.ratio);
  const said = (one = sorted[0]) => `${one?.ratio.toFixed(2)} (${one?.kind})`;
  return {
    compared: times.length,
    'median time': inMs(quantile(times, 0.5)),
    'medians of what is there ÷ what is not': `${said()} to ${said(sorted.at(-1))}`,
  };
});
