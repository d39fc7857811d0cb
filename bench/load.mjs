// One slice of load on one server: requests a second and the 99th percentile, by wrk when it is there, else autocannon.
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { has, LOAD_CORE } from './machine.mjs';
import { folder, run } from './servers.mjs';

export const loader = has('wrk') ? 'wrk' : 'autocannon';
const TIMEOUT_S = 10;
/** autocannon makes each request in advance for each connection. */
const MOST_PATHS_OF_AUTOCANNON = 1000;

/** Where it stands in headers or a body, each request has a text of its own, of the same length. */
export const NUMBER = 'NUMBER-OF-THE-REQUEST';
const FIRST_NUMBER = 10_000_000;
/** What the numbers of one slice begin with. */
const prefixOfNumbers = () => `${randomBytes(6).toString('hex').toUpperCase()}-`;

const isNumbered = ({ headers, body }) => JSON.stringify([headers, body]).includes(NUMBER);

/** @param count from 0 on @returns the headers and the body, with a number in them */
export function numbered({ headers, body }, prefix = prefixOfNumbers(), count = 0) {
  const set = (text) => text?.replaceAll(NUMBER, `${prefix}${FIRST_NUMBER + count}`);
  return {
    headers: Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, set(value)])),
    body: set(body),
  };
}

/**
 * @param target { url, paths, method, headers, body }: the paths are asked in turn, from a random one on; headers and body may
 * hold NUMBER
 * @param how { connections, seconds, cores }
 * @returns { rps, p99, errors }: p99 in ms; errors are statuses of 400 and more, broken connections and time-outs
 */
export function slice(target, how) {
  return loader === 'wrk' ? wrk(target, how) : cannon(target, how);
}

const quoted = (text) => JSON.stringify(text);

/** In Lua: requests are put together before the clock starts, and only a number is set in while it runs. */
function script(target, pathsFile) {
  const { paths, method = 'GET', headers = {}, body } = target;
  const set = Object.entries(headers).map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`);
  const many = `
local requests, at = {}, 0
function init()
  for path in io.lines(${quoted(pathsFile)}) do requests[#requests + 1] = wrk.format(nil, path) end
  at = math.random(${quoted(randomBytes(4).readUInt32LE())} % #requests + 1)
end
function request()
  at = at % #requests + 1
  return requests[at]
end`;
  const counted = `
local parts, number = {}, ${FIRST_NUMBER}
function init()
  for part in string.gmatch(wrk.format() .. "${NUMBER}", "(.-)${NUMBER.replaceAll('-', '%-')}") do
    parts[#parts + 1] = part
  end
end
function request()
  number = number + 1
  return table.concat(parts, "${prefixOfNumbers()}" .. number)
end`;
  return `
wrk.method = ${quoted(method)}
${set.join('\n')}
${body ? `wrk.body = ${quoted(body)}` : ''}
${isNumbered(target) ? counted : paths.length > 1 ? many : ''}
function done(summary, latency)
  local e = summary.errors
  local sum = e.connect + e.read + e.write + e.timeout + e.status
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(99), sum))
end
`;
}

async function wrk(target, { connections, seconds, cores = LOAD_CORE }) {
  const base = join(folder, randomBytes(6).toString('hex'));
  const [scriptFile, pathsFile] = [`${base}.lua`, `${base}.txt`];
  writeFileSync(pathsFile, target.paths.join('\n'));
  writeFileSync(scriptFile, script(target, pathsFile));
  const load = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', `${TIMEOUT_S}s`, '-s', scriptFile];
  try {
    const output = await run('taskset', ['-c', cores, 'wrk', ...load, target.url + target.paths[0]]);
    const [, requests, micros, p99, errors] = /RESULT (\d+) (\d+) (\d+) (\d+)/.exec(output).map(Number);
    return { rps: requests / (micros / 1e6), p99: p99 / 1000, errors };
  } finally {
    rmSync(scriptFile);
    rmSync(pathsFile);
  }
}

async function cannon(target, { connections, seconds }) {
  const { url, paths, method = 'GET', headers, body } = target;
  const { default: autocannon } = await import('autocannon');
  const prefix = prefixOfNumbers();
  let count = 0;
  const setupRequest = (request) => ({ ...request, ...numbered(target, prefix, count++) });
  const some = paths.slice(0, MOST_PATHS_OF_AUTOCANNON);
  const requests = some.map((path) => ({
    path,
    method,
    headers,
    body,
    ...(isNumbered(target) ? { setupRequest } : {}),
  }));
  const result = await autocannon({ url, connections, duration: seconds, timeout: TIMEOUT_S, requests });
  const errors = result.errors + result['4xx'] + result['5xx'];
  return { rps: result.requests.total / result.duration, p99: result.latency.p99, errors };
}
