import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, productionSettings, startMain } from '../support/process.js';
import { row } from '../support/row.js';

/** Settings that a database may give to every session, all as far from PostgreSQL's defaults as possible. */
const ODD_SETTINGS = {
  datestyle: "'German, DMY'",
  timezone: "'Asia/Kathmandu'",
  intervalstyle: "'sql_standard'",
  bytea_output: "'escape'",
  extra_float_digits: '-15',
  search_path: 'elsewhere, pg_catalog',
  default_transaction_isolation: "'serializable'",
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  gin_fuzzy_search_limit: '1',
  exit_on_error: 'on',
  statement_timeout: '1',
  lock_timeout: '1',
  idle_in_transaction_session_timeout: '1',
  idle_session_timeout: '30',
  transaction_timeout: '1',
};

/** A new database with Turkish collation and case rules, and with z sorted before a. */
async function createOddDatabase(): Promise<TestDatabase> {
  const plain = await createDatabase();
  const name = `odd_${randomBytes(6).toString('hex')}`;
  await plain.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'
    LOCALE_PROVIDER icu ICU_LOCALE 'tr' ICU_RULES '&z < a'`);
  const url = new URL(plain.url);
  url.pathname = `/${name}`;
  const query = async <Row>(text: string, values: unknown[] = []) => {
    // The client sets none of the settings under test.
    const client = new pg.Client({
      connectionString: url.href,
      statement_timeout: 10_000,
      options: '-c transaction_timeout=0',
    });
    await client.connect();
    try {
      return (await client.query(text, values)).rows as Row[];
    } finally {
      await client.end();
    }
  };
  // These would be found instead of ours by the database's own search_path.
  await query(`CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.users (odd integer); CREATE TABLE elsewhere.migrations (odd integer);
    CREATE FUNCTION elsewhere.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''odd'''`);
  for (const [setting, value] of Object.entries(ODD_SETTINGS))
    await plain.query(`ALTER DATABASE ${name} SET ${setting} = ${value}`);
  return {
    url: url.href,
    query,
    drop: async () => {
      await plain.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await plain.drop();
    },
  };
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** An answer without the values that differ each time: ids, current times and signatures. */
function lasting({ status, headers, text }: Response): string {
  const now = new RegExp(`"(createdAt|updatedAt)":"${TIME.source}"`, 'g');
  const body = text
    .replace(UUID, '<id>')
    .replace(now, '"$1":"<now>"')
    .replace(/"responseTime":\d+/g, '"responseTime":0')
    .replace(/"(accessToken|refreshToken|nextCursor|requestId)":"[^"]+"/g, '"$1":"<signed>"');
  const etag = headers.get('etag')?.replace(/-[0-9a-f]+"/, '-<made>"');
  const tag = /^"[\w+/=.-]{20,}"$/.test(headers.get('etag') ?? '') ? '<hash>' : etag;
  return [status, headers.get('location')?.replace(UUID, '<id>'), tag, body].join(' ');
}

/** Some requests of every kind, in an order on which the answers depend. */
async function walk(url: string): Promise<string[]> {
  const seen: string[] = [];
  const note = async (asked: Promise<Response>) => {
    const answer = await asked;
    seen.push(lasting(answer));
    return answer;
  };
  const anyone = new Client(url);
  const register = (email: string) =>
    note(anyone.post('/api/v1/auth/register', { email, password: 'a-password-of-theirs', name: 'İIıi ğ' }));
  for (const email of ['IDA@EXAMPLE.COM', 'ida@example.com', 'zoe@example.com', 'a-b@example.com', 'ab@example.com'])
    await register(email);
  await note(anyone.post('/api/v1/auth/login', { email: 'ida@example.com', password: 'a-password-of-theirs' }));
  await note(anyone.post('/api/v1/auth/login', { email: 'IdA@eXample.com', password: 'a-password-of-theirs' }));
  const ida = await anyone.signIn('iDa@example.com', 'a-password-of-theirs');
  const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
  await note(anyone.post('/api/v1/auth/refresh', { refreshToken: admin.tokens?.refreshToken }));
  await note(ida.get('/api/v1/users/me'));
  await note(admin.get('/api/v1/users?email=I'));
  await note(admin.get('/api/v1/users?email=A_'));
  await note(admin.get('/api/v1/users?limit=2'));
  for (const name of ['zebra', 'a-b', 'ab', 'a-c', 'aa', 'i', 'j', 'h'])
    await note(ida.put(`/api/v1/data/${name}`, { visibility: 'public', description: `'\\' ${name}` }));
  let next: string | null = '';
  while (next !== null) {
    const page: Response = await note(anyone.get(`/api/v1/data?limit=3${next && `&cursor=${next}`}`));
    next = page.body.nextCursor;
  }
  const etag = (await note(anyone.get('/api/v1/data/ab'))).headers.get('etag') as string;
  await note(ida.put('/api/v1/data/ab', { visibility: 'public' }, { 'if-match': etag }));
  const records = '/api/v1/data/ab/records';
  const values = ['zebra', 'aa', 'a-b', 'ab', 'i', 'I', 'ı', 'İ', 'a\\b', "a'b"];
  for (const [at, value] of values.entries()) {
    const data = { value, n: 0.1 + at, at: `2020-0${(at % 9) + 1}-11` };
    const key = { 'idempotency-key': `key-${at}` };
    const body = { data, occurredAt: `2020-0${(at % 9) + 1}-11T23:59:59.987Z` };
    await note(ida.post(records, body, key));
    await note(ida.post(records, body, key));
  }
  await note(
    ida.post(`${records}/bulk`, [{ data: { value: 'by bulk' }, occurredAt: '1890-01-01T00:00:00Z' }, { data: 1 }], {
      'idempotency-key': 'bulk',
    }),
  );
  await note(
    ida.post(`${records}/bulk?atomic=true`, [{ data: { value: 'at once' }, occurredAt: '2021-01-01T00:00:00Z' }]),
  );
  const list = await note(anyone.get(`${records}?limit=5&order=asc`));
  await note(anyone.get(`${records}?limit=5&order=asc&cursor=${list.body.nextCursor}`));
  await note(anyone.get(`${records}?from=2020-03-11T00:00:00Z&to=2020-06-12T02:00:00%2B02:00`));
  await note(anyone.get(`${records}?where=${encodeURIComponent('{"value":"İ"}')}`));
  const { id } = list.body.items[1];
  const record = await note(anyone.get(`${records}/${id}`));
  const change = { 'if-match': record.headers.get('etag') as string };
  const changed = await note(ida.patch(`${records}/${id}`, { data: { value: 'changed' } }, change));
  await note(ida.patch(`${records}/${id}`, { data: {} }, change));
  await note(anyone.get(`${records}/export`));
  for (const bucket of ['minute', 'hour', 'day', 'month'])
    await note(ida.get(`/api/v1/data/ab/stats?bucket=${bucket}&by=value`));
  await note(ida.delete(`${records}/${id}`, { 'if-match': changed.headers.get('etag') as string }));
  await note(ida.delete('/api/v1/data/zebra', { 'if-match': '*' }));
  await note(admin.patch(`/api/v1/users/${ida.userId}`, { email: 'ADMIN@example.com' }, { 'if-match': '*' }));
  await note(anyone.get('/health/ready'));
  return seen;
}

let odd: TestDatabase;
let plain: TestDatabase;
beforeAll(async () => {
  odd = await createOddDatabase();
  plain = await createDatabase();
});
afterAll(async () => {
  await endPrograms();
  await odd?.drop();
  await plain?.drop();
});

row(51, '', async () => {
  const start = (url: string): Program =>
    startMain({ ...productionSettings(url), ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password });
  const onPlain = await walk(await start(plain.url).url());
  const program = start(odd.url);
  const onOdd = await walk(await program.url());
  expect(onOdd).toEqual(onPlain);
  expect(onPlain.filter((line) => line.startsWith('5'))).toEqual([]);
  expect(program.stderr).toBe('');
  return { settings: Object.keys(ODD_SETTINGS).length, 'answers compared': onPlain.length };
});
