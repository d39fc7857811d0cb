// Tries the whole contract on the built app with Schemathesis, as an admin and as a user: npm run fuzz
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VERSION = '4.32.5';
const venv = join('node_modules', '.cache', 'schemathesis');
const program = join(venv, 'bin', 'schemathesis');
const admin = { email: 'admin@example.com', password: 'first-admin-of-the-fuzzing' };
const user = { email: 'fuzz@example.com', password: 'first-user-of-the-fuzzing' };

/** Runs to its end. @throws Error with the advice, and what it said, when it fails */
function run(command, args, advice) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${advice}\n${error?.message ?? `${stdout}${stderr}`}`.trim());
}

function install() {
  if (spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout?.includes(VERSION)) return;
  rmSync(venv, { recursive: true, force: true });
  run('python3', ['-m', 'venv', venv], 'Python 3 with venv is needed: apt-get install -y python3 python3-venv');
  const pip = join(venv, 'bin', 'pip');
  run(pip, ['install', '--quiet', `schemathesis==${VERSION}`], `pip could not install schemathesis ${VERSION}.`);
}

/** The built app with a database of its own, below `folder`. */
async function start(folder) {
  const { PATH, HOME = folder } = process.env;
  const app = spawn(process.execPath, ['dist/floodgate.cjs'], {
    env: {
      PATH,
      HOME,
      HOST: '127.0.0.1',
      PORT: '0',
      DATA_DIR: folder,
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'ecs',
      ADMIN_EMAIL: admin.email,
      ADMIN_PASSWORD: admin.password,
      RATE_LIMIT_REQUESTS: '1000000',
      LOGIN_LIMIT: '1000000',
      LOGIN_ADDRESS_LIMIT: '1000000',
      REGISTER_LIMIT: '1000000',
      REFRESH_LIMIT: '1000000',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let tellUrl;
  const url = new Promise((resolve) => {
    tellUrl = resolve;
  });
  for (const stream of [app.stdout, app.stderr]) {
    stream.on('data', (chunk) => {
      said = (said + chunk).slice(-20_000);
      const [, found] = /listens on (http:\/\/[^\s;]+)/.exec(said) ?? [];
      if (found) tellUrl(found);
    });
  }
  const ended = once(app, 'exit').then(() => {
    throw new Error(`the app ended:\n${said}`);
  });
  ended.catch(() => {});
  return { app, url: await Promise.race([url, ended]) };
}

async function call(base, method, path, body, token) {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
  return response.json();
}

const signIn = async (base, credentials) => (await call(base, 'POST', '/api/v1/auth/login', credentials)).accessToken;

/** Something to read: a collection of each visibility, with records. */
async function fill(base, token, owner) {
  for (const visibility of ['public', 'private']) {
    const path = `/api/v1/data/${owner}-${visibility}`;
    await call(base, 'PUT', path, { visibility }, token);
    const records = Array.from({ length: 30 }, (_, km) => ({ data: { km, to: 'Oslo' } }));
    await call(base, 'POST', `${path}/records/bulk`, records, token);
  }
}

async function fuzz(base, who, token) {
  console.log(`\n== as ${who}`);
  const args = [
    '--config-file',
    'test/contract/schemathesis.toml',
    'run',
    `${base}/openapi.json`,
    // The document names PUBLIC_URL.
    '--url',
    base,
    ...process.argv.slice(2),
  ];
  const child = spawn(program, args, {
    env: { ...process.env, FUZZ_TOKEN: token, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [status] = await once(child, 'exit');
  await call(base, 'GET', '/api/v1/users/me', undefined, token).catch(() => {
    throw new Error(`the ${who} did not live to the end of the run, so much of it was answered 401`);
  });
  return status === 0;
}

async function main() {
  install();
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-fuzz-'));
  // As root, PostgreSQL runs as a user of its own, who must be able to go there.
  chmodSync(folder, 0o755);
  const { app, url } = await start(folder);
  try {
    await call(url, 'POST', '/api/v1/auth/register', { ...user, name: 'Fuzz' });
    const tokens = { admin: await signIn(url, admin), user: await signIn(url, user) };
    const passed = [];
    const { paths } = await call(url, 'GET', '/openapi.json');
    if ('/api/v1/data/{collection}' in paths)
      for (const [who, token] of Object.entries(tokens)) await fill(url, token, who);
    for (const [who, token] of Object.entries(tokens)) passed.push(await fuzz(url, who, token));
    const failed = passed.filter((it) => !it).length;
    console.log(`\nSchemathesis ${VERSION}: ${passed.length - failed} runs passed, ${failed} failed.`);
    if (failed > 0) process.exitCode = 1;
  } finally {
    app.kill('SIGTERM');
    await once(app, 'exit');
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
