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

it('has a contract for every operation of openapi.json, and for no other', assertAllSaid);

it('uses the same kinds of things for all operations of one path', () => {
  const paths = Object.groupBy(operations, ({ path }) => path);
  for (const [path, of = []] of Object.entries(paths)) {
    const [targets = [], ...others] = of
      .filter(({ method }) => method !== 'PUT')
      .map((operation) => targetsOf(operation).map(([target]) => target));
    for (const other of others) expect([path, other.sort()]).toEqual([path, targets.sort()]);
  }
});

/** The reads of a thing by its owner. */
const look = (thing: Made, reads: Operation[]): Promise<string[]> =>
  Promise.all(reads.map(async (read) => must(200, await thing.owner.get(pathOf(read, thing.values))).text));

/** All texts in a body that are long enough not to occur by chance. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length < 8 ? [] : [value];
  return value && typeof value === 'object' ? Object.values(value).flatMap(textsIn) : [];
}

/** Texts that only callers who may read the thing get to see. */
function secretsOf(seen: string[], reads: Operation[], target: string): string[] {
  const isRefused = table.some((row) => row.target === target && reads.includes(row.operation) && row.status >= 400);
  const bodies = seen.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text.split('\n', 1)[0] ?? ''));
  return isRefused ? bodies.flatMap(textsIn) : [];
}

describe('ASVS 8.2.1, 8.2.2:', () => {
  it.each(table)('$caller gets $status from $id of $target', async ({ operation, target, caller, status }) => {
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
    // A refused caller has changed nothing and learnt nothing.
    expect(await look(thing, reads)).toEqual(before);
    const secrets = secretsOf(before, reads, target).filter((text) => !path.includes(text));
    expect(secrets.filter((text) => answer.text.includes(text))).toEqual([]);
  });
});

/** The status of a request whose body is not sent. */
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
  it.each(refused)('$caller gets $status from $id of $target', async ({ operation, target, caller, status }) => {
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
