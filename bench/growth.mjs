// What grows with the rows of a collection, and what does not: the same questions at each size, on tables that are filled anew.
//
//   npm run bench -- --only growth --sizes 0.1,1,10 --svg docs/growth.svg
//
// Nothing is kept by the cache, so that each answer is made. Figures are medians of single requests, one after the other.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { lineOf, shuffle } from './stage.mjs';

const BEGIN = '2020-01-01T00:00:00Z';
const FILL_BATCH = 250_000;
/** Beside the collection lies one that is so many times smaller. */
const SMALLER = 100;
const ASKED = 200;
const UPLOADED = 20_000;
const READERS = 4;
const READ_BEFORE_MS = 4000;
const READ_WHILE_MS = 15_000;
const PATIENCE_MS = 120_000;

/** A third of the rows, one row, and none. */
const WHERE = { common: { kind: 1 }, rare: { n: 77 }, none: { n: -1 } };

const sorted = (times) => times.toSorted((a, b) => a - b);
const median = (times) => sorted(times)[times.length >> 1];
const p99 = (times) => sorted(times)[Math.floor(times.length * 0.99)];

async function timed(work) {
  const began = performance.now();
  const value = await work();
  return { ms: performance.now() - began, value };
}

/** Asks one after the other. @returns the median, in ms */
async function each(values, ask) {
  const times = [];
  for (const value of values) times.push((await timed(() => ask(value))).ms);
  return median(times);
}

async function fill(stage, name, rows) {
  const [{ id }] = await stage.sql('SELECT id FROM collections WHERE name = $1', [name]);
  for (let from = 0; from < rows; from += FILL_BATCH) {
    await stage.sql(
      `INSERT INTO records (collection_id, data, occurred_at)
       SELECT $1, jsonb_build_object('kind', n % 3, 'delay', n % 300, 'n', n), $2::timestamptz + n * interval '1 second'
       FROM generate_series($3::int, $4::int - 1) AS n`,
      [id, BEGIN, from, Math.min(from + FILL_BATCH, rows)],
    );
  }
  return id;
}

/** Partitions the table, which each size empties anyway. */
export async function partition(stage) {
  for (const step of ['1-prepare', '2-copy', '4-swap'])
    await stage.sql(readFileSync(new URL(`../deploy/partition-records/${step}.sql`, import.meta.url), 'utf8'));
  await stage.sql('DROP TABLE old_records');
}

/** A server, and two collections of so many rows and of a hundredth of them. */
async function prepare(stage, rows) {
  await stage.sql('TRUNCATE records');
  const { url } = await stage.floodgate({ CACHE_TTL_MS: '0' });
  const headers = await stage.bearer(url);
  const names = [`growth-${rows}`, `growth-small-${rows}`];
  for (const name of names)
    await stage.api(url, 'PUT', `/api/v1/data/${name}`, JSON.stringify({ visibility: 'public' }));
  const { ms } = await timed(async () => {
    await fill(stage, names[1], rows / SMALLER);
    await fill(stage, names[0], rows);
  });
  await stage.sql('VACUUM ANALYZE records');
  await stage.sql('CHECKPOINT');
  const [path, small] = names.map((name) => `/api/v1/data/${name}`);
  const get = async (path, given = {}) => {
    const response = await fetch(url + path, { headers: given });
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  return { url, headers, path, small, get, rows, filled: rows / (ms / 1000) };
}

/** Asks until all is counted. @returns ms until the first answer, what share that had counted, and ms until all was */
async function counted({ get }, path, headers) {
  const began = performance.now();
  const first = await timed(() => get(path, headers));
  for (let { progress } = first.value; progress < 1; { progress } = await get(path, headers)) {
    if (performance.now() - began > PATIENCE_MS) throw new Error(`${path} is not counted after ${PATIENCE_MS} ms.`);
    await sleep(100);
  }
  return { first: first.ms, share: first.value.progress, all: performance.now() - began };
}

async function read(stage, at, path, rows) {
  const name = path.split('/').at(-1);
  const moments = Array.from(
    { length: ASKED },
    () => new Date(Date.parse(BEGIN) + Math.floor(Math.random() * rows) * 1000),
  );
  const ids = await stage.sql(
    `SELECT r.id FROM records r JOIN collections c ON c.id = collection_id WHERE c.name = $1 AND occurred_at = ANY ($2)`,
    [name, moments],
  );
  const list = (query) => at.get(`${path}/records?${new URLSearchParams(query)}`);
  const where = async (kind) => each(Array(15).fill(WHERE[kind]), (one) => list({ where: JSON.stringify(one) }));
  return {
    'by id': await each(shuffle(ids), ({ id }) => at.get(`${path}/records/${id}`)),
    'list of 20': await each(moments, (moment) => list({ to: moment.toISOString() })),
    'where, common': await where('common'),
    'where, rare': await where('rare'),
    'where, none': await where('none'),
  };
}

async function statistics(stage, at) {
  const byDay = `${at.path}/stats?bucket=day`;
  const byField = `${byDay}&by=delay`;
  const day = await counted(at, byDay);
  const field = await counted(at, byField);
  const dayAgain = await each(Array(7).fill(byDay), (path) => at.get(path));
  const fieldAgain = await each(Array(7).fill(byField), (path) => at.get(path));
  const moment = new Date(Date.parse(BEGIN) + at.rows * 1000).toISOString();
  await stage.api(at.url, 'POST', `${at.path}/records`, JSON.stringify({ data: { delay: 1 }, occurredAt: moment }));
  const changed = await counted(at, byField, at.headers);
  return {
    'by day, first': day.first,
    'by day, again': dayAgain,
    'by field, first answer': field.first,
    'by field, all counted': field.all,
    'by field, again': fieldAgain,
    'by field, after a write': changed.all,
    'share in the first answer': field.share,
  };
}

async function write(stage, at) {
  const one = JSON.stringify({ data: { kind: 1, delay: 7 } });
  const create = await each(Array(ASKED).fill(one), (body) => stage.api(at.url, 'POST', `${at.path}/records`, body));
  const lines = Array.from({ length: UPLOADED }, (_, n) => lineOf(n)).join('\n');
  const upload = () => stage.api(at.url, 'POST', `${at.path}/records/bulk`, lines, 'application/x-ndjson');
  const bulk = await each([1, 2, 3], upload);
  return { create, 'bulk, 20,000 records': bulk };
}

/** What readers of the small collection wait while the large one is removed behind its deletion. */
async function remove(stage, at) {
  const [{ id }] = await stage.sql('SELECT id FROM collections WHERE name = $1', [at.path.split('/').at(-1)]);
  const left = async () =>
    (await stage.sql('SELECT count(*)::int FROM records WHERE collection_id = $1', [id]))[0].count;
  const all = await left();
  const times = { before: [], meanwhile: [] };
  let phase = 'before';
  const readers = Array.from({ length: READERS }, async () => {
    while (phase) {
      const now = phase;
      times[now].push((await timed(() => at.get(`${at.small}/records?limit=20`))).ms);
    }
  });
  await sleep(READ_BEFORE_MS);
  const response = await fetch(at.url + at.path, { headers: at.headers });
  const headers = { ...(await stage.bearer(at.url)), 'if-match': response.headers.get('etag') };
  await response.arrayBuffer();
  phase = 'meanwhile';
  const began = performance.now();
  const gone = await timed(() => fetch(at.url + at.path, { method: 'DELETE', headers }));
  if (gone.value.status !== 204) throw new Error(`The collection was not deleted: ${gone.value.status}`);
  await sleep(Math.min(READ_WHILE_MS, 2000 + at.rows / 10));
  phase = undefined;
  await Promise.all(readers);
  const seconds = (performance.now() - began) / 1000;
  return {
    'delete, its answer': gone.ms,
    'others, p99 before': p99(times.before),
    'others, p99 meanwhile': p99(times.meanwhile),
    'removed a second': (all - (await left())) / seconds,
  };
}

/** Which rows are drawn together. Figures that are in none are only in the table. */
export const PANELS = {
  Reading: ['by id', 'list of 20', 'where, common', 'where, rare', 'where, none'],
  'Reading a collection beside one 100 times as large': [
    'small: by id',
    'small: list of 20',
    'small: where, common',
    'small: where, rare',
    'small: where, none',
  ],
  Statistics: [
    'by day, first',
    'by day, again',
    'by field, first answer',
    'by field, all counted',
    'by field, again',
    'by field, after a write',
  ],
  'Writing and deleting': [
    'create',
    'bulk, 20,000 records',
    'delete, its answer',
    'others, p99 before',
    'others, p99 meanwhile',
  ],
};

/** @param sizes in rows @returns figures in ms, by name, for each size */
export async function grow(stage, sizes) {
  const found = [];
  for (const rows of sizes) {
    const at = await prepare(stage, rows);
    const small = await read(stage, at, at.small, rows / SMALLER);
    const figures = {
      ...(await read(stage, at, at.path, rows)),
      ...Object.fromEntries(Object.entries(small).map(([name, ms]) => [`small: ${name}`, ms])),
      ...(await statistics(stage, at)),
      'small: by day and field': (await counted(at, `${at.small}/stats?bucket=day&by=delay`)).all,
      ...(await write(stage, at)),
      ...(await remove(stage, at)),
      'vacuum after it': (await timed(() => stage.sql('VACUUM records'))).ms,
      'rows filled in a second': at.filled,
    };
    found.push({ rows, figures });
    console.log(
      `\n${rows.toLocaleString('en')} rows\n${Object.entries(figures)
        .map(([name, value]) => `  ${name.padEnd(28)} ${shown(value)}`)
        .join('\n')}`,
    );
    await stage.clear();
  }
  return found;
}

const shown = (value) => (value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(2))));

/** In Markdown, in ms where the name says nothing else. */
export function growthTable(found) {
  const head = `| ms | ${found.map(({ rows }) => `${rows.toLocaleString('en')} rows`).join(' | ')} |`;
  const lines = Object.keys(found[0].figures).map(
    (name) => `| ${name} | ${found.map(({ figures }) => shown(figures[name])).join(' | ')} |`,
  );
  return [head, `|---|${'---|'.repeat(found.length)}`, ...lines].join('\n');
}
