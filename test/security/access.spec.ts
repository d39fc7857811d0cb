import { must } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import type { Clients } from '../support/contract.js';
import {
  assertAllSaid,
  bodyFor,
  clientsAt,
  contractFileOf,
  isBehindTheBody,
  type Made,
  makeFor,
  readsOf,
  table,
  tagFor,
  targetsOf,
} from '../support/contracts.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Operation, operations, pathOf } from '../support/operations.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { sendRaw } from '../support/raw.js';

let database: TestDatabase;
let clients: Clients;
beforeAll(async () => {
  database = await createDatabase();
  const admin = { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
  clients = await clientsAt(new Client(await startMain({ ...productionSettings(database.url), ...admin }).url()));
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await database?.drop();
});

it('knows every operation of openapi.json, and none that is gone', assertAllSaid);

it('speaks of the same things for all that is asked of one path', () => {
  const paths = Object.groupBy(operations, ({ path }) => path);
  for (const [path, of = []] of Object.entries(paths)) {
    const [targets = [], ...others] = of
      .filter(({ method }) => method !== 'PUT')
      .map((operation) => targetsOf(operation).map(([target]) => target));
    for (const other of others) expect([path, other.sort()]).toEqual([path, targets.sort()]);
  }
});

/** What its owner sees of a thing. */
const look = (thing: Made, reads: Operation[]): Promise<string[]> =>
  Promise.all(reads.map(async (read) => must(200, await thing.owner.get(pathOf(read, thing.values))).text));

/** Texts that tell something, wherever they stand in a body: not those of three letters, which stand in any sentence. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length < 8 ? [] : [value];
  return value && typeof value === 'object' ? Object.values(value).flatMap(textsIn) : [];
}

/** What only those see who may read the thing. */
function secretsOf(seen: string[], reads: Operation[], target: string): string[] {
  const isRefused = table.some((row) => row.target === target && reads.includes(row.operation) && row.status >= 400);
  const bodies = seen.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text.split('\n', 1)[0] ?? ''));
  return isRefused ? bodies.flatMap(textsIn) : [];
}

describe('ASVS 8.2.1, 8.2.2:', () => {
  it.each(table)('$caller is answered $status to $id of $target', async ({ operation, target, caller, status }) => {
    const thing = await makeFor(operation, clients, target);
    const reads = thing.isNew ? [] : readsOf(operation, target);
    const client = caller === 'the owner' ? thing.owner : clients[caller];
    const before = await look(thing, reads);
    const path = pathOf(operation, thing.values);
    const body = await bodyFor(operation, clients);
    const answer = await client.send(operation.method, path, body, tagFor(operation, thing));
    if (answer.status !== status)
      throw new Error(
        `was answered ${answer.status}: ${answer.text}\nWhere that is right, ${contractFileOf(operation)} is to say so of ${operation.id}`,
      );
    if (status < 400) return;
    // Who is refused has changed nothing, and learnt nothing.
    expect(await look(thing, reads)).toEqual(before);
    const secrets = secretsOf(before, reads, target).filter((text) => !path.includes(text));
    expect(secrets.filter((text) => answer.text.includes(text))).toEqual([]);
  });
});

/** The status for a request whose body does not come. */
async function statusBeforeBody({ tokens }: Client, operation: Operation, thing: Made): Promise<number> {
  const authorization = tokens ? `Authorization: Bearer ${tokens.accessToken}\r\n` : '';
  const path = pathOf(operation, thing.values);
  const head = `${operation.method} ${path} HTTP/1.1\r\nHost: x\r\n${authorization}If-Match: *\r\n`;
  const { status } = await sendRaw(
    clients.nobody.url,
    `${head}Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`,
  );
  return status;
}

describe('before the body,', () => {
  const refused = table.filter((row) => row.operation.body !== undefined && row.status >= 400 && !isBehindTheBody(row));
  it.each(refused)('$caller is answered $status to $id of $target', async ({ operation, target, caller, status }) => {
    const thing = await makeFor(operation, clients, target);
    const client = caller === 'the owner' ? thing.owner : clients[caller];
    const found = await statusBeforeBody(client, operation, thing);
    const { id } = operation;
    if (found !== status)
      throw new Error(
        `a body was asked for first (${found}). Refuse in a guard; where the answer needs the body or a lock, write into ${contractFileOf(operation)}:\n  behindTheBody: { ${id}: [${status}] },`,
      );
  });
});
