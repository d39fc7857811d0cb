import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { lines, NDJSON, openUpload, tally, untilFree } from '../support/uploads.js';

const LEASE_MS = 3000;

let app: TestApp;
let ada: Client;
let set: MadeCollection;
let bulk: string;
beforeAll(async () => {
  app = await startApp({ IDEMPOTENCY_LEASE_MS: String(LEASE_MS), STREAM_CONCURRENCY: '1' });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
  bulk = `${set.records}/bulk`;
});
afterAll(async () => {
  await endPrograms();
  await app?.close();
});

let keys = 0;
const freshKey = () => ({ 'idempotency-key': `upload-${++keys}` });
const upload = (text: string, key: Record<string, string>, path = bulk, client = ada) =>
  client.post(path, text, { ...NDJSON, ...key });
const stored = async () => (await tally(app.database, set))[0];

describe('a finished upload under an Idempotency-Key', () => {
  it.each([
    ['lines', NDJSON, `${lines(1, 5001)}{"data":1}\n${lines(5002, 5003)}`],
    ['an array', {}, `[${[...lines(1, 5001).trim().split('\n'), '{"data":1}', '{"data":{"n":5002}}'].join()}]`],
  ])('gets the first answer again when it is repeated as %s, and stores nothing twice', async (_, type, text) => {
    const key = freshKey();
    const first = must(200, await ada.post(bulk, text, { ...type, ...key }));
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(first.body.failed).toBe(1);
    const second = must(200, await ada.post(bulk, text, { ...type, ...key }));
    expect([second.text, second.headers.get('idempotency-replayed')]).toEqual([first.text, 'true']);
    expect(await tally(app.database, set)).toEqual([first.body.inserted, first.body.inserted]);
  });

  it('reserves its key even against a body that differs only within a line that is too long', async () => {
    const [key, other] = [freshKey(), freshKey()];
    const text = (end: string) => `${lines(1, 2)}{"data":{"x":"${'x'.repeat(1_500_000)}${end}"}}\n`;
    const first = must(200, await upload(text('a'), key));
    expect(first.body).toMatchObject({ inserted: 2, failed: 1 });
    expectProblem(await upload(text('b'), key), 'idempotency-key-reused');
    expect(must(200, await upload(text('a'), key)).text).toBe(first.text);
    must(200, await upload(text('b'), other));
  });

  it('reserves its key against any other body, collection and form, but not for another caller', async () => {
    const key = freshKey();
    must(200, await upload(lines(1, 6000), key));
    const others = [
      lines(1, 5999) + lines(6001, 6001),
      lines(0, 0) + lines(2, 6000),
      lines(1, 5999),
      '',
      lines(1, 6001),
      lines(1, 12_000),
      `${lines(1, 6000)}{"data":1}`,
    ];
    others.push(`\n${lines(1, 6000)}`);
    for (const text of others) expectProblem(await upload(text, key), 'idempotency-key-reused');
    expectProblem(await upload(lines(1, 6000), key, `${bulk}?atomic=true`), 'idempotency-key-reused');
    expectProblem(await ada.post(bulk, '[]', key), 'idempotency-key-reused');
    const other = await makeCollection(ada);
    expectProblem(await upload(lines(1, 6000), key, `${other.records}/bulk`), 'idempotency-key-reused');
    expect(await stored()).toBe(6000);
    must(200, await upload(lines(1, 1), key, bulk, app.admin));
    expect(await stored()).toBe(6001);
  });

  it('is replayed when it was empty, or contained only the oddest mistakes', async () => {
    for (const text of [
      '',
      '{"data":{"a\\u0000b":1}}\n{"data":{"\\ud800":1}}\n{"data":{"\\u0001\\\\":1,"x\\u0000":2}}',
    ]) {
      const key = freshKey();
      const first = must(200, await upload(text, key));
      expect(first.body.failed).toBe(text ? 3 : 0);
      expect(must(200, await upload(text, key)).text).toBe(first.text);
      expectProblem(await upload(`${text}\n{"data":{}}`, key), 'idempotency-key-reused');
    }
  });
});

describe('a cut-off upload under an Idempotency-Key', () => {
  const bad = '{"data":{"a\\u0000b":1}}\n';
  const text = bad + lines(1, 12_000) + bad + lines(12_001, 13_000);

  /** Cut off in its third batch. */
  async function cut(key: Record<string, string>, client = ada) {
    const { request, write } = openUpload(client, bulk, key);
    await write(bad + lines(1, 12_000));
    await until(async () => (await stored()) === 10_000);
    return request;
  }

  it('continues after the stored lines when it is repeated, and counts all of them in its answer', async () => {
    const key = freshKey();
    (await cut(key)).destroy();
    const { body, headers } = must(200, await untilFree(() => upload(text, key)));
    expect([body.inserted, body.failed, headers.get('idempotency-replayed')]).toEqual([13_000, 2, null]);
    expect(body.errors.map(({ line }: { line: number }) => line)).toEqual([1, 12_002]);
    expect(await tally(app.database, set)).toEqual([13_000, 13_000]);
    expect(must(200, await upload(text, key)).text).toBe(JSON.stringify(body));
  });

  it('can be cut off again and again', async () => {
    const key = freshKey();
    (await cut(key)).destroy();
    for (const end of [12_500, 19_999]) {
      const { request, write } = openUpload(ada, bulk, key);
      await write(bad + lines(1, end));
      await pause(300);
      request.destroy();
      await pause(100);
    }
    const { body } = must(200, await untilFree(() => upload(bad + lines(1, 21_000), key)));
    expect([body.inserted, body.failed]).toEqual([21_000, 1]);
    expect(await tally(app.database, set)).toEqual([21_000, 21_000]);
  });

  it('refuses another body, and can still be finished', async () => {
    const key = freshKey();
    (await cut(key)).destroy();
    for (const other of [bad + lines(2, 13_000), bad + lines(1, 9999), lines(1, 13_000)]) {
      expectProblem(await untilFree(() => upload(other, key)), 'idempotency-key-reused');
      expect(await stored()).toBe(10_000);
    }
    expect(must(200, await upload(text, key)).body.inserted).toBe(13_000);
  });

  it('holds its key while it continues, for longer than the lease', async () => {
    const key = freshKey();
    const { request, answer, write } = openUpload(ada, bulk, key);
    await write(lines(1, 10));
    const held = 'SELECT FROM idempotency_keys WHERE key = $1';
    await until(async () => (await app.database.query(held, Object.values(key))).length === 1);
    for (const end = Date.now() + LEASE_MS + 1500; Date.now() < end; await pause(500)) {
      const refused = await upload(lines(1, 10), key);
      expectProblem(refused, 'conflict');
      expect(refused.headers.get('retry-after')).toBe('1');
    }
    request.end();
    expect(await answer).toMatchObject({ status: 200, body: { inserted: 10 } });
    expect(await stored()).toBe(10);
  });

  it('by the death of its process can be finished by another process when its lease ends', async () => {
    const settings = { ...productionSettings(app.database.url), IDEMPOTENCY_LEASE_MS: String(LEASE_MS) };
    const program = startMain(settings);
    const client = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
    const key = freshKey();
    await cut(key, client);
    program.signal('SIGKILL');
    await program.end();
    const answers: number[] = [];
    const { body } = must(
      200,
      await untilFree(async () => {
        const answer = await upload(text, key, bulk, app.admin);
        answers.push(answer.status);
        return answer;
      }),
    );
    expect(answers[0]).toBe(409);
    expect([body.inserted, body.failed]).toEqual([13_000, 2]);
    expect(await tally(app.database, set)).toEqual([13_000, 13_000]);
  });
});

describe('two uploads at once with one key', () => {
  it.each([bulkQuery(false), bulkQuery(true)])('end as one upload and one 409 (%j)', async (query) => {
    const key = freshKey();
    const answers = await Promise.all([1, 2].map(() => upload(lines(1, 12_000), key, bulk + query)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await tally(app.database, set)).toEqual([12_000, 12_000]);
  });
});

function bulkQuery(atomic: boolean): string {
  return atomic ? '?atomic=true' : '';
}
