// A bounded load on a running Floodgate, with figures each second:
//   npm run load [-- reads | writes | mix] [--seconds 10] [--connections 50] [--url http://host:port]
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { apiAt, assertRunning, signUp, suffix, urlOf } from '../scripts/running.mjs';
import { Figures } from './figures.mjs';

const RECORDS = 100;
const KINDS = {
  reads: 'records by id, and a list for each nine of them',
  writes: 'new records',
  mix: 'nine reads for each new record',
};

function optionsOf() {
  const options = { seconds: { type: 'string' }, connections: { type: 'string' }, url: { type: 'string' } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [kind = 'mix', ...others] = positionals;
  if (!Object.hasOwn(KINDS, kind) || others.length > 0)
    throw new Error(`Say which load: ${Object.keys(KINDS).join(', ')}.`);
  const within = (name, most, value) => {
    const number = Number(value);
    if (Number.isInteger(number) && number >= 1 && number <= most) return number;
    throw new Error(`--${name} is a whole number from 1 to ${most}.`);
  };
  const seconds = within('seconds', 600, values.seconds ?? '10');
  const connections = within('connections', 1000, values.connections ?? '50');
  return { kind, seconds, connections, base: urlOf(values.url) };
}

/** The requests of each connection, which repeats them. */
function requestsOf(kind, path, ids, token) {
  const read = (id) => ({ method: 'GET', path: `${path}/${id}` });
  const list = { method: 'GET', path: `${path}?limit=20` };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const write = { method: 'POST', path, headers, body: JSON.stringify({ data: { from: 'load', n: 1 } }) };
  if (kind === 'writes') return [write];
  const reads = ids.flatMap((id, at) => (at % 9 === 8 ? [read(id), list] : [read(id)]));
  return kind === 'reads' ? reads : reads.flatMap((one, at) => (at % 9 === 8 ? [one, write] : [one]));
}

function run({ base, connections, seconds }, requests, figures) {
  return new Promise((resolve, reject) => {
    const load = autocannon({ url: base, connections, duration: seconds, requests }, (error, result) =>
      error ? reject(error) : resolve(result),
    );
    load.on('response', (_client, status, _bytes, ms) => figures.add(status, ms));
    load.on('tick', () => {
      const line = figures.second();
      if (line) console.log(line);
    });
  });
}

/** The load may have used up its user's limit, so this tries again. */
async function remove(call, collection, token) {
  for (let tries = 1; ; tries++) {
    try {
      return await call('DELETE', collection, { token, headers: { 'if-match': '*' } });
    } catch (error) {
      if (tries === 10) throw error;
      await pause(1000);
    }
  }
}

async function main() {
  const options = optionsOf();
  const { base, kind, seconds, connections } = options;
  const call = apiAt(base);
  await assertRunning(base);
  const { token } = await signUp(call, 'load');
  const collection = `/api/v1/data/load-${suffix}`;
  const path = `${collection}/records`;
  await call('PUT', collection, { token, body: { visibility: 'public' } });
  try {
    const stream = ReadableStream.from([Buffer.from('{"data":{"from":"load","n":0}}\n'.repeat(RECORDS))]);
    await call('POST', `${path}/bulk`, { token, stream, headers: { 'content-type': 'application/x-ndjson' } });
    const { items } = await call('GET', `${path}?limit=${RECORDS}`, { token });
    const ids = items.map(({ id }) => id);
    console.log(`${seconds} s of ${kind} (${KINDS[kind]}) at ${base}, ${connections} connections.`);
    const policy = (await fetch(`${base}${path}/${ids[0]}`)).headers.get('ratelimit-policy');
    const figures = new Figures(policy ?? '');
    const { errors } = await run(options, requestsOf(kind, path, ids, token), figures);
    console.log(figures.summary(errors));
  } finally {
    await remove(call, collection, token);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
