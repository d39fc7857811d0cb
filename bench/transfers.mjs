// What is measured of many records at once: a bulk upload and an export, beside psql's COPY of the same rows.
import { strictEqual } from 'node:assert';
import { once } from 'node:events';
import { createReadStream, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { has, SERVER_CORE } from './machine.mjs';
import { Skipped } from './measure.mjs';
import { folder, run } from './servers.mjs';
import { dataOf, lineOf, momentOf } from './stage.mjs';

const ROUNDS = { bulk: 5, export: 3 };
/** Records that are read by both, and compared, before an export is timed. */
const COMPARED = 1000;

/** psql has the core that Floodgate has otherwise. */
const psql = (stage, command, options) =>
  run('taskset', ['-c', SERVER_CORE, 'psql', '-X', '-q', '-d', stage.databaseUrl, '-c', command], options);

function assertPsql() {
  if (!has('psql')) throw new Skipped('psql is missing: apt-get install postgresql-client');
}

/** @returns rows a second */
async function timed(count, transfer) {
  const began = performance.now();
  await transfer();
  return { records: count / ((performance.now() - began) / 1000), errors: 0 };
}

/** Sends a file. @throws Error when it is refused */
async function upload(url, headers, file) {
  const asked = request(url, {
    method: 'POST',
    agent: false,
    headers: { ...headers, 'content-length': statSync(file).size },
  });
  const answered = once(asked, 'response');
  await pipeline(createReadStream(file, { highWaterMark: 262_144 }), asked);
  const [response] = await answered;
  const answer = await text(response);
  if (response.statusCode >= 400) throw new Error(`The upload was refused: ${response.statusCode} ${answer}`);
}

const bulk = {
  name: 'bulk',
  yardstick: 'psql',
  rounds: ROUNDS.bulk,
  metrics: [{ name: 'bulk upload', value: 'records', unit: 'records/s', must: 0.6, goal: 0.85 }],
  async prepare(stage, { bulkRecords: count }) {
    assertPsql();
    const collection = stage.collections['bench-writes'];
    const numbers = Array.from({ length: count }, (_, n) => n);
    const files = { lines: 'bulk.ndjson', array: 'bulk.json', rows: 'bulk.tsv' };
    for (const kind of Object.keys(files)) files[kind] = join(folder, files[kind]);
    writeFileSync(files.lines, numbers.map((n) => `${lineOf(n)}\n`).join(''));
    writeFileSync(files.array, `[${numbers.map(lineOf).join(',')}]`);
    writeFileSync(
      files.rows,
      numbers.map((n) => `${collection}\t${JSON.stringify(dataOf(n))}\t${momentOf(n)}\n`).join(''),
    );
    const floodgate = await stage.floodgate();
    const usual = await stage.peer('nest-usual');
    const stored = async () =>
      (await stage.sql('SELECT count(*)::int FROM records WHERE collection_id = $1', [collection]))[0].count;
    const by = (name, transfer) => ({
      name,
      async take() {
        const result = await timed(count, transfer);
        strictEqual(await stored(), count, `${name} did not store all`);
        return result;
      },
    });
    const contestants = [
      by('psql', () => psql(stage, `\\copy records (collection_id, data, occurred_at) from '${files.rows}'`)),
      by('floodgate', async () => {
        const headers = { 'content-type': 'application/x-ndjson', ...(await stage.bearer(floodgate.url)) };
        await upload(`${floodgate.url}/api/v1/data/bench-writes/records/bulk`, headers, files.lines);
      }),
      by('nest-usual', () => {
        const headers = { 'content-type': 'application/json' };
        return upload(`${usual.url}/collections/${collection}/records/bulk`, headers, files.array);
      }),
    ];
    const clean = () => stage.empty('bench-writes');
    return { contestants, before: clean, after: clean };
  },
};

/**
 * Reads an answer to its end and keeps nothing: into one buffer, so that the reader costs as little as it can.
 * @throws Error when it was cut off
 */
function drain(url, path) {
  return new Promise((resolve, reject) => {
    let [head, end] = ['', ''];
    const callback = (length, buffer) => {
      head ||= buffer.toString('latin1', 0, Math.min(length, 15));
      end = (end + buffer.toString('latin1', Math.max(0, length - 5), length)).slice(-5);
      return true;
    };
    const { hostname: host, port } = new URL(url);
    const socket = connect({ host, port, onread: { buffer: Buffer.alloc(262_144), callback } });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    socket.once('error', reject).once('close', () => {
      if (head.startsWith('HTTP/1.1 200') && end === '0\r\n\r\n') resolve();
      else reject(new Error(`The export was cut off, or refused: ${head} … ${end}`));
    });
  });
}

/** What psql is given to do: the same lines, their JSON made of text as fast as PostgreSQL can. */
function copyOut(collectionId, until) {
  const time = (column) => `left(to_json(${column} AT TIME ZONE INTERVAL '0' + INTERVAL '1 us')::text, 24) || 'Z"'`;
  return `COPY (
    SELECT '{"id":"' || id || '","data":' || data || ',"occurredAt":' || ${time('occurred_at')} || ',"version":' || version
      || ',"createdAt":' || ${time('created_at')} || ',"updatedAt":' || ${time('updated_at')} || '}'
    FROM records WHERE collection_id = '${collectionId}' AND occurred_at < '${until}' ORDER BY occurred_at DESC, id DESC)
    TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;
}

const exporting = {
  name: 'export',
  yardstick: 'psql',
  rounds: ROUNDS.export,
  metrics: [{ name: 'export', value: 'records', unit: 'records/s', must: 0.5, goal: 0.8 }],
  async prepare(stage, { exportRecords: count }) {
    assertPsql();
    const collectionId = stage.collections['bench-export'];
    await stage.sql(
      `INSERT INTO records (collection_id, data, occurred_at)
       SELECT $1, jsonb_build_object('delay', n % 300, 'distance', 100 + n % 2500), $2::timestamptz + n * interval '1 second'
       FROM generate_series(0, $3::int - 1) AS n`,
      [collectionId, momentOf(0), count],
    );
    await stage.sql('VACUUM ANALYZE records');
    const floodgate = await stage.floodgate();
    const path = '/api/v1/data/bench-export/records/export';
    const statement = (until = momentOf(count)) => copyOut(collectionId, until);
    await assertSameExport(stage, statement(momentOf(COMPARED)), `${floodgate.url}${path}?to=${momentOf(COMPARED)}`);
    const toNowhere = { stdio: ['ignore', 'ignore', 'pipe'] };
    const contestants = [
      { name: 'psql', take: () => timed(count, () => psql(stage, statement(), toNowhere)) },
      { name: 'floodgate', take: () => timed(count, () => drain(floodgate.url, path)) },
    ];
    const after = () => stage.empty('bench-export');
    return { contestants, after };
  },
};

async function assertSameExport(stage, statement, url) {
  const theirs = await psql(stage, statement);
  const ours = await (await fetch(url, { headers: { 'accept-encoding': 'identity' } })).text();
  strictEqual(ours, theirs, 'The exports differ');
  strictEqual(ours.split('\n').length - 1, COMPARED);
}

export const transferScenarios = [bulk, exporting];
