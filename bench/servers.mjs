// Starts and ends what is measured: PostgreSQL, Redis, Floodgate as built for production, and the peers.
import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { transformFile } from '@swc/core';
import { EmbeddedPostgres, freePort } from '../scripts/embedded-postgres.ts';
import { adopt, SERVER_CORE } from './machine.mjs';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const root = fileURLToPath(new URL('..', import.meta.url));
/** How to end each program that runs. */
const running = new Set();
/** Files into which servers print. */
const logs = new Set();
/** What `npm start` gives to node behind the file of settings. */
const startOf = (project) =>
  JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    .scripts.start.split(' ')
    .slice(2)
    .map((part) => (part.startsWith('-') ? part : join(project, part)));
let postgres;
let isEnding = false;

export const folder = mkdtempSync(join(tmpdir(), 'floodgate-bench-'));
// As root, PostgreSQL runs as a user of its own, who must be able to go there.
chmodSync(folder, 0o755);

export const ADMIN = { email: 'admin@example.com', password: 'admin-of-the-bench' };

/** The same for every Floodgate of this run, as replicas have it. */
const SECRETS = {
  APP_SECRET: randomBytes(32).toString('hex'),
  JWT_PRIVATE_KEY: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
};

/** The project's own PostgreSQL, with its default durability. @returns its URL */
export async function startPostgres() {
  postgres = EmbeddedPostgres.start({ folder });
  const { url } = await postgres;
  // pg_ctl leaves it to init.
  adopt(Number.parseInt(readFileSync(join(folder, 'postgres', 'postmaster.pid'), 'utf8'), 10));
  return url;
}

/** @returns the URL of a Redis that keeps nothing on disk */
export async function startRedis() {
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
  const { log } = launch('redis', 'redis-server', args, {});
  for (const end = Date.now() + START_TIMEOUT_MS; !/Ready to accept/.test(readFileSync(log, 'utf8')); await sleep(20)) {
    if (Date.now() > end) throw new Error(`Redis did not start: ${readFileSync(log, 'utf8')}`);
  }
  return `redis://127.0.0.1:${port}`;
}

/**
 * A program of Node, on the servers' core unless others are named.
 * @param options { command, environment, path, cores }: it counts as started when `path` is answered 200
 * @returns { url, pid, log, startMs, stop }: startMs is from the launch to that answer
 */
async function startNode(name, { command, environment, path, cores = SERVER_CORE }) {
  const port = await freePort();
  const settings = { ...environment, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port) };
  const began = performance.now();
  const { child, log, stop } = launch(name, 'taskset', ['-c', cores, process.execPath, ...command], settings);
  const url = `http://127.0.0.1:${port}`;
  while ((await statusOf(url + path)) !== 200) {
    if (child.exitCode !== null || performance.now() - began > START_TIMEOUT_MS) {
      await stop();
      throw new Error(`${name} did not start: ${readFileSync(log, 'utf8').slice(-2000)}`);
    }
    await sleep(2);
  }
  return { url, pid: child.pid, log, startMs: performance.now() - began, stop };
}

/** A peer, by the name of its file. It counts as started when it answers `path` with 200. */
export async function startPeer(name, environment, path) {
  const script = join(root, 'bench/peers', `${name}.mjs`);
  const file = existsSync(script) ? script : await compile(join(root, 'bench/peers', `${name}.ts`));
  return startNode(name, { command: [file], environment, path });
}

/** Floodgate with all that production has on, and limits that nobody reaches; of this project, or of a copy of it. */
export async function startFloodgate(environment, { path = '/health/ready', cores, project = root } = {}) {
  const settings = { ...SECRETS, RATE_LIMIT_REQUESTS: '1000000000', DRAIN_DELAY_MS: '0', ...environment };
  return startNode('floodgate', { command: startOf(project), environment: settings, path, cores });
}

/** As `nest build` would: next to the packages, so that imports find them. */
async function compile(source) {
  const decorators = { legacyDecorator: true, decoratorMetadata: true };
  const parser = { syntax: 'typescript', decorators: true };
  const { code } = await transformFile(source, {
    jsc: { target: 'es2024', parser, transform: decorators },
    module: { type: 'es6' },
  });
  const output = join(root, 'node_modules/.cache/floodgate-bench', 'nest-usual.mjs');
  mkdirSync(join(output, '..'), { recursive: true });
  writeFileSync(output, code);
  return output;
}

/** What it prints goes to a file, as a production's log would. */
function launch(name, command, args, environment) {
  const log = join(folder, `${name}-${randomBytes(4).toString('hex')}.log`);
  const out = openSync(log, 'a');
  logs.add(log);
  try {
    const options = { env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', out, out] };
    return { log, ...start(command, args, options) };
  } finally {
    closeSync(out);
  }
}

function start(command, args, options) {
  if (isEnding) throw new Error('The bench is being ended.');
  const child = spawn(command, args, options);
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const killing = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await once(child, 'exit');
    clearTimeout(killing);
  };
  running.add(stop);
  child.once('exit', () => running.delete(stop));
  return { child, stop };
}

/** @returns what a program printed, which ends by itself @throws Error with that, when it fails */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const { child } = start(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${args[2] ?? command} ended with ${code}: ${output}`)),
    );
  });
}

/** An access log grows by tens of megabytes a second: it is emptied outside the clock. */
export function emptyLogs() {
  for (const log of logs) truncateSync(log);
}

/** @returns the status of the answer; undefined while nobody listens */
function statusOf(url) {
  return new Promise((resolve) => {
    get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', () => resolve(undefined));
  });
}

/** Ends all that was started here, and nothing else. */
export async function stopAll() {
  isEnding = true;
  await Promise.all([...running].map((stop) => stop()));
  await (await postgres?.catch(() => undefined))?.stop();
  rmSync(folder, { recursive: true, force: true });
}
