import { etagOf, must } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import type { Clients } from '../support/contract.js';
import {
  absentPathOf,
  assertAllSaid,
  bodyFor,
  callerFor,
  clientsAt,
  contractFileOf,
  isShownElsewhere,
  makeFor,
  table,
  tagFor,
  targetsOf,
} from '../support/contracts.js';
import { type Operation, operations, pathOf } from '../support/operations.js';

const USUAL = [200, 201, 204, 304, 400, 401, 403, 404, 409, 412, 422, 428];
/** The tag of a version that never exists. */
const STALE = '"0-0"';

let app: TestApp;
let clients: Clients;
beforeAll(async () => {
  app = await startApp();
  clients = await clientsAt(app.client);
});
afterAll(() => app?.close());

/** All statuses that each operation has answered. */
const shown = new Map<string, Set<number>>();

interface Asked {
  path?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

async function ask(client: Client, operation: Operation, { path, body, headers }: Asked): Promise<Response> {
  const answer = await client.send(operation.method, path ?? operation.path, body, headers);
  const statuses = shown.get(operation.id) ?? new Set();
  shown.set(operation.id, statuses.add(answer.status));
  return answer;
}

/** Each operation with a new thing and a caller who may do it, one after another. */
async function* walk(of = operations) {
  for (const operation of of) {
    const thing = await makeFor(operation, clients);
    const path = pathOf(operation, thing.values);
    const body = await bodyFor(operation, clients);
    yield {
      operation,
      thing,
      path,
      body,
      headers: tagFor(operation, thing),
      client: callerFor(operation, clients, thing),
    };
  }
}

/** Expects this status of every operation. */
function expectAll(status: number, found: Record<string, number>): void {
  expect(found).toEqual(Object.fromEntries(Object.keys(found).map((id) => [id, status])));
  expect(Object.keys(found)).not.toEqual([]);
}

it('has a contract for every operation of openapi.json, and for no other', assertAllSaid);

it('answers each caller as the contracts say', async () => {
  const unexpected: unknown[] = [];
  for (const { operation, target, caller, status } of table) {
    const thing = await makeFor(operation, clients, target);
    const client = caller === 'the owner' ? thing.owner : clients[caller];
    const asked = {
      path: pathOf(operation, thing.values),
      body: await bodyFor(operation, clients),
      headers: tagFor(operation, thing),
    };
    const answer = await ask(client, operation, asked);
    if (answer.status !== status) unexpected.push([operation.id, target, caller, status, answer.status]);
  }
  expect(unexpected).toEqual([]);
}, 120_000);

it('answers 401 to an invalid token on every operation', async () => {
  const found: Record<string, number> = {};
  const stranger = new Client(app.url, { accessToken: 'nonsense', refreshToken: '' });
  for await (const { operation, ...asked } of walk())
    found[operation.id] = (await ask(stranger, operation, asked)).status;
  expectAll(401, found);
});

it('answers 404 for a thing that does not exist', async () => {
  const found: Record<string, number> = {};
  const some = operations.filter(({ path, statuses }) => path.includes('{') && statuses.includes(404));
  for await (const { operation, thing, ...asked } of walk(some)) {
    const path = absentPathOf(operation, thing);
    found[operation.id] = (await ask(clients['an admin'], operation, { ...asked, path })).status;
  }
  expectAll(404, found);
});

describe('a change', () => {
  const changes = operations.filter((operation) => operation.takesIfMatch && targetsOf(operation).length > 0);

  it.each([
    [428, 'without If-Match', {}],
    [412, 'with a stale tag', { 'if-match': STALE }],
  ])('gets %d %s', async (status, _, headers) => {
    const found: Record<string, number> = {};
    for await (const { operation, client, ...asked } of walk(changes))
      found[operation.id] = (await ask(client, operation, { ...asked, headers })).status;
    expectAll(status, found);
  });
});

it('answers 304 to the current tag', async () => {
  const found: Record<string, number> = {};
  const some = operations.filter((operation) => operation.statuses.includes(304) && targetsOf(operation).length > 0);
  for await (const { operation, client, path } of walk(some)) {
    const etag = etagOf(must(200, await ask(client, operation, { path })));
    found[operation.id] = (await ask(client, operation, { path, headers: { 'if-none-match': etag } })).status;
  }
  expectAll(304, found);
});

it('answers HEAD wherever it answers GET, with the same headers and no body', async () => {
  const reads = operations.filter((operation) => operation.method === 'GET' && targetsOf(operation).length > 0);
  const answers: [path: string, get: Response, head: Response][] = [];
  const compare = async (client: Client, path: string) => {
    answers.push([path, must(200, await client.get(path)), await client.send('HEAD', path, undefined)]);
  };
  for await (const { client, path } of walk(reads)) await compare(client, path);
  for (const path of ['/openapi.json', '/docs']) await compare(app.client, path);
  for (const [path, get, head] of answers) {
    expect([path, head.status, head.text]).toEqual([path, 200, '']);
    for (const name of ['content-type', 'etag', 'cache-control'])
      expect([path, name, head.headers.get(name)]).toEqual([path, name, get.headers.get(name)]);
  }
  expect((await app.client.send('HEAD', '/nowhere', undefined)).status).toBe(404);
});

describe('answers 400 to', () => {
  it('invalid ids and names', async () => {
    const found: Record<string, number> = {};
    for await (const { operation, client, thing, ...asked } of walk())
      for (const name of operation.checked) {
        const path = pathOf(operation, { ...thing.values, [name]: '~' });
        found[`${operation.id} of ${name}`] = (await ask(client, operation, { ...asked, path })).status;
      }
    expectAll(400, found);
  });

  it('invalid and unknown parameters', async () => {
    const found: Record<string, number> = {};
    for await (const { operation, client, path, ...asked } of walk(operations.filter(({ query }) => query.length > 0)))
      for (const query of ['cursor=made-up', 'limit=0', 'limit=x', 'unknown=1']) {
        const isMeant = operation.query.includes(query.split('=')[0] as string);
        if (!isMeant && !query.startsWith('unknown')) continue;
        const answer = await ask(client, operation, { ...asked, path: `${path}?${query}` });
        found[`${operation.id} with ${query}`] = answer.status;
      }
    expectAll(400, found);
  });

  it('bodies that are not JSON, or have an unknown member', async () => {
    const found: Record<string, number> = {};
    const some = operations.filter(({ input }) => input);
    for await (const { operation, client, body, ...asked } of walk(some)) {
      // An upload reports bad elements instead of failing.
      const bad = Array.isArray(body) ? [{}] : ['{', { ...(body as object), notAMember: 1 }];
      for (const one of bad) {
        const answer = await ask(client, operation, { ...asked, body: one });
        found[`${operation.id} with ${JSON.stringify(one)}`] = answer.status;
      }
    }
    expectAll(400, found);
  });

  it('odd bytes in a path', async () => {
    const found: Record<string, number> = {};
    for await (const { operation, client, path, ...asked } of walk())
      found[operation.id] = (await ask(client, operation, { ...asked, path: `${path}?%00` })).status;
    expectAll(400, found);
  });
});

it('has by then seen every usual status that openapi.json names', () => {
  const isEverForbidden = (operation: Operation) =>
    table.some((row) => row.operation === operation && row.status === 403);
  const unshown = operations.flatMap((operation) => {
    const statuses = operation.statuses
      .filter((status) => USUAL.includes(status) && !shown.get(operation.id)?.has(status))
      // The document names 403 for every operation that needs a token, even when nobody is forbidden to use it.
      .filter((status) => !isShownElsewhere(operation, status) && (status !== 403 || isEverForbidden(operation)));
    const isDescribed = targetsOf(operation).length > 0;
    return isDescribed && statuses.length > 0 ? [{ file: contractFileOf(operation), operation, statuses }] : [];
  });
  const advice = Object.entries(Object.groupBy(unshown, ({ file }) => file)).map(([file, of = []]) => {
    const lines = of.map(({ operation, statuses }) => `${operation.id}: [${statuses.join(', ')}]`);
    return `openapi.json names statuses that nothing was answered with here. Show them in a spec beside ${file}, and write there:\n  shownElsewhere: { ${lines.join(', ')} },`;
  });
  if (advice.length > 0) throw new Error(advice.join('\n'));
});
