import { BothWays, bytes } from '../support/both-ways.js';
import { CALLERS, type Clients } from '../support/contract.js';
import { clientsAt, type Made, makeFor, table } from '../support/contracts.js';
import { type Operation, pathOf } from '../support/operations.js';

let both: BothWays;
let clients: Clients;
beforeAll(async () => {
  both = await BothWays.start();
  clients = await clientsAt(both.app.client);
}, 60_000);
afterAll(() => both.close());

/** Every read of every module except /metrics, which depends on the requests before it. */
const reads = table.filter(
  ({ caller, operation: { method, path } }) => caller === 'nobody' && method === 'GET' && path !== '/metrics',
);

/** The target of the read, and others that are nearly the same. */
function targetsOf(operation: Operation, { values }: Made): string[] {
  const path = pathOf(operation, values);
  const others = Object.keys(operation.unknown).flatMap((name) => {
    const value = values[name] as string;
    const wrong = [
      operation.unknown[name] as string,
      value.toUpperCase(),
      '~',
      `%${value.charCodeAt(0).toString(16)}${value.slice(1)}`,
    ];
    return wrong.map((one) => pathOf(operation, { ...values, [name]: one }));
  });
  const asked = operation.query.flatMap((name) => [
    `${path}?${name}=`,
    `${path}?${name}=1`,
    `${path}?${name}=1&${name}=1`,
  ]);
  return [path, `${path}?`, `${path}?x=1`, `${path}/`, `${path}/.`, ...others, ...asked];
}

async function compare(token: string[], targets: string[], heads: string[][], found: Record<string, number>) {
  const requests = targets.flatMap((target) =>
    heads.flatMap((head) => ['GET', 'HEAD'].map((method) => bytes(method, target, [...token, ...head]))),
  );
  for (const [status, count] of Object.entries(await both.compare(requests)))
    found[status] = (found[status] ?? 0) + count;
}

it.each(reads)(
  'answers $id of $target with the same bytes with the edge and without it',
  async ({ operation, target }) => {
    const thing = await makeFor(operation, clients, target);
    const [path = '', ...almost] = targetsOf(operation, thing);
    const found: Record<string, number> = {};
    for (const caller of CALLERS) {
      const client = caller === 'the owner' ? thing.owner : clients[caller];
      const token = client.tokens ? [`Authorization: Bearer ${client.tokens.accessToken}`] : [];
      const ask = (targets: string[], ...heads: string[][]) => compare(token, targets, heads, found);
      await ask([path, ...almost], []);
      await ask([path], ['If-None-Match: *'], ['Accept-Encoding: gzip'], ['Accept: text/html']);
      const etag = (await client.get(path)).headers.get('etag');
      if (etag) await ask([path], [`If-None-Match: ${etag}`], [`If-None-Match: "x", ${etag}`, 'Accept-Encoding: br']);
    }
    // At least one caller may read it.
    expect(found['200']).toBeGreaterThan(0);
  },
  60_000,
);
