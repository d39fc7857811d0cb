import { atBoth, kindOf } from '../support/at-once.js';
import type { Client, Response } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { expectUnharmed } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';
import { lines, NDJSON, tally, untilFree } from '../support/uploads.js';

/** The number of rows that are stored at a time. */
const BATCH = 5000;
/** The limit of `data` alone, without the text around it. */
const DATA_LIMIT = 65_536;

let two: Replicas;
let ada: Client;
beforeAll(async () => {
  two = await startReplicas();
  ada = await two.user();
}, 60_000);
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(() => two?.close());

let keys = 0;
const freshKey = () => `key ${++keys}`;

type Framing = 'declared' | 'chunked';
type Ending = 'end' | 'reset';

/** The head of an upload that declares this many bytes, or is sent in chunks. */
const headOf = ({ records }: MadeCollection, query: string, framing: Framing, bytes: number, key = '') =>
  `POST ${records}/bulk${query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${ada.tokens?.accessToken}\r\n` +
  `Content-Type: application/x-ndjson\r\n${key && `Idempotency-Key: ${key}\r\n`}` +
  `${framing === 'declared' ? `Content-Length: ${bytes}` : 'Transfer-Encoding: chunked'}\r\n\r\n`;
const piece = (framing: Framing, text: string) =>
  framing === 'declared' ? text : `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

const framings: Framing[] = ['declared', 'chunked'];

for (const framing of framings) {
  row(43, `a whole upload, ${framing}`, async () => {
    const long = (bytes: number) => `{"data":{"x":"${'x'.repeat(bytes - 8)}"}}\n`;
    const text = [
      `${lines(1, 1)}{"data":1}\n`,
      `${lines(2, 3999)}{"data":{"n":\n`,
      long(DATA_LIMIT) + long(DATA_LIMIT + 1) + long(10_000_000),
      // The last line is cut off, and nothing follows it.
      `${lines(4000, 6000)}{"data":{"n":7`,
    ].join('');
    const badLines = [2, 4001, 4003, 4004, 6006];
    const send = async (set: MadeCollection, query: string) => {
      const socket = openSocket(two.here.anyone.url);
      const answer = readAnswer(socket);
      socket.write(headOf(set, query, framing, Buffer.byteLength(text)));
      // In pieces, none of which ends at the end of a line.
      for (let at = 0; at < text.length; at += 99_991) socket.write(piece(framing, text.slice(at, at + 99_991)));
      if (framing === 'chunked') socket.write('0\r\n\r\n');
      return answer;
    };
    const linesOf = ({ body }: { body: { errors: { line: number }[] } }) => body.errors.map(({ line }) => line);
    const [set, atomic] = [await makeCollection(ada), await makeCollection(ada)];
    const some = await send(set, '');
    expect([some.status, some.body.inserted, some.body.failed, linesOf(some)]).toEqual([200, 6001, 5, badLines]);
    expect(await tally(two.database, set)).toEqual([6001, 6000]);
    const none = await send(atomic, '?atomic=true');
    expect([none.status, none.body.inserted, none.body.failed, linesOf(none)]).toEqual([422, 0, 5, badLines]);
    expect(await tally(two.database, atomic)).toEqual([0, 0]);
    return { inserted: 6001, 'bad lines told': badLines.join(' '), 'inserted if atomic': 0 };
  });
}

/** Sends all but the end of the upload, waits until its complete batches are stored, and closes the connection in mid-line. */
async function cutOff(set: MadeCollection, query: string, framing: Framing, ending: Ending, key = ''): Promise<void> {
  const socket = openSocket(two.here.anyone.url);
  socket.resume();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(headOf(set, query, framing, 10_000_000, key));
  socket.write(piece(framing, `${lines(1, 10)}{"data":1}\n${lines(11, 12_000)}{"data":{"n":12001}}`));
  // The end of a whole line, and then a part of one.
  socket.write(piece(framing, '\n{"data":{"n":12'));
  const busy = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`;
  if (query) await until(async () => (await two.database.query(busy)).length > 0);
  else await until(async () => (await tally(two.database, set))[0] === 2 * BATCH);
  if (ending === 'end') socket.end();
  else socket.resetAndDestroy();
  await closed;
  // The app has finished with the upload.
  if (query) await until(async () => (await two.database.query(busy)).length === 0);
  else await two.here.program.says(new RegExp(`upload to ${set.name} ended early, with ${2 * BATCH} records stored`));
}

for (const framing of framings) {
  for (const ending of ['end', 'reset'] as const) {
    row(43, `a connection that ends in mid-line, ${framing}, by ${ending}`, async () => {
      const [plain, keyed, atomic] = [await makeCollection(ada), await makeCollection(ada), await makeCollection(ada)];
      const key = freshKey();
      const whole = `${lines(1, 10)}{"data":1}\n${lines(11, 13_000)}`;
      const load = (client: Client): Promise<Response> =>
        client.post(`${keyed.records}/bulk`, whole, { ...NDJSON, 'idempotency-key': key });
      await cutOff(plain, '', framing, ending);
      await cutOff(keyed, '', framing, ending, key);
      await cutOff(atomic, '?atomic=true', framing, ending);
      // Whole batches and never half a line; nothing at all of an atomic upload.
      expect(await tally(two.database, plain)).toEqual([2 * BATCH, 2 * BATCH]);
      expect(await tally(two.database, keyed)).toEqual([2 * BATCH, 2 * BATCH]);
      expect(await tally(two.database, atomic)).toEqual([0, 0]);
      // Repeated under its key, the upload stores the rest, and its answer counts all of it.
      for (const [n, client] of atBoth(two, ada).entries()) {
        const answer = must(200, await untilFree(() => load(client)));
        expect(answer.body).toMatchObject({ inserted: 13_000, failed: 1, errors: [{ line: 11 }] });
        expect(kindOf(answer)).toBe(n === 0 ? '200' : '200 again');
      }
      expect(await tally(two.database, keyed)).toEqual([13_000, 13_000]);
      return { 'stored of 12,001': 2 * BATCH, 'after the retry, of 13,000': 13_000, 'if atomic': 0 };
    });
  }
}
