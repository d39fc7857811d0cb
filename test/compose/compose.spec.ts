import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { settings } from '../../src/config.js';
import { Client } from '../support/client.js';
import { makeCollection, must } from '../support/collections.js';
import { createDatabase } from '../support/database.js';
import { startNginx } from '../support/nginx.js';
import { endPrograms, imageOf, Program } from '../support/process.js';
import { describeWith, need } from '../support/program.js';
import { TestRedis } from '../support/redis.js';
import { lines, NDJSON } from '../support/uploads.js';

interface Service {
  environment?: Record<string, string | number>;
  command?: string[];
  volumes?: { type: string; source: string; target: string }[];
}

/** The loader is downloaded and compiled the first time. */
const COMPILING_MS = 240_000;

/** A Compose file as Docker Compose reads it. @throws Error that names its mistake */
function compose(file = 'compose.yaml', environment: Record<string, string> = {}) {
  const env = { ...process.env, ...environment };
  const said = execFileSync(join(folder, 'loader'), [file], { env, encoding: 'utf8', stdio: 'pipe' });
  return JSON.parse(said) as { services: Record<string, Service> };
}

let folder: string;
let secrets: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-compose-'));
  secrets = join(folder, 'secrets');
  mkdirSync(secrets);
  makeSecrets();
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(endPrograms);

const makeSecrets = () => execFileSync(process.execPath, ['compose/secrets.mjs', secrets]);
const made = () => readdirSync(secrets).map((name) => [name, readFileSync(join(secrets, name), 'utf8')]);

describeWith('go', 'compose.yaml', (go) => {
  beforeAll(() => {
    const build = ['build', '-o', join(folder, 'loader'), '.'];
    execFileSync(go, build, { cwd: 'test/compose/loader', env: { ...process.env, GOFLAGS: '' }, stdio: 'pipe' });
  }, COMPILING_MS);

  it("is accepted by Docker Compose's loader, which refuses mistakes", () => {
    const { services } = compose();
    const names = ['floodgate', 'grafana', 'nginx', 'postgres', 'prometheus', 'redis', 'secrets'];
    expect(Object.keys(services).sort()).toEqual(names);
    const text = readFileSync('compose.yaml', 'utf8');
    const wrong = join(folder, 'wrong.yaml');
    writeFileSync(wrong, text.replace('mem_limit:', 'memory_limit:'));
    expect(() => compose(wrong)).toThrow('memory_limit');
    writeFileSync(wrong, text.replace('postgres: { condition', 'postgresql: { condition'));
    expect(() => compose(wrong)).toThrow('undefined service "postgresql"');
    rmSync(wrong);
  });

  it('mounts only existing files', () => {
    const mounts = Object.values(compose().services).flatMap(({ volumes = [] }) => volumes);
    const sources = mounts.flatMap(({ type, source }) => (type === 'bind' ? [source] : []));
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((source) => !existsSync(source))).toEqual([]);
  });

  it('gives the app known settings, the generated files, and the requested port', () => {
    const { environment = {} } = compose('compose.yaml', { PORT: '4000' }).services.floodgate ?? {};
    const known = Object.entries(settings.shape).flatMap(([name, schema]) =>
      schema.meta()?.secret ? [name, `${name}_FILE`] : [name],
    );
    expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([]);
    const files = Object.entries(environment).flatMap(([name, value]) => (name.endsWith('_FILE') ? [`${value}`] : []));
    expect(files.filter((file) => !existsSync(file.replace('/secrets', secrets)))).toEqual([]);
    expect(environment.PUBLIC_URL).toBe('http://localhost:4000');
  });

  it('generates secrets once, and keeps them at the next start', () => {
    const before = made();
    makeSecrets();
    expect(before.length).toBeGreaterThan(5);
    expect(made()).toEqual(before);
  });

  it('starts the app with the generated secrets, behind its nginx', async () => {
    const database = await createDatabase();
    const redis = await TestRedis.start('--include', join(secrets, 'redis.conf'));
    const { environment = {} } = compose().services.floodgate ?? {};
    const redisUrl = new URL(readFileSync(join(secrets, 'redis-url'), 'utf8'));
    redisUrl.host = new URL(redis.url).host;
    writeFileSync(join(secrets, 'redis-url'), redisUrl.href);
    writeFileSync(join(secrets, 'database-url'), database.url);
    const { flags, environment: image } = imageOf(256);
    const given = Object.entries(environment).map(([name, value]) => [name, `${value}`.replace('/secrets', secrets)]);
    const own = { HOST: '127.0.0.1', PORT: '0', DRAIN_DELAY_MS: '0' };
    const app = new Program('floodgate.cjs', { ...image, ...Object.fromEntries(given), ...own }, flags);
    const appUrl = await app.url();
    const nginx = await startNginx(({ port }) =>
      readFileSync('compose/nginx.conf', 'utf8')
        .replace('floodgate:3000', new URL(appUrl).host)
        .replace('listen 80', `listen 127.0.0.1:${port}`),
    );
    try {
      const anyone = new Client(nginx.url);
      expect(must(200, await anyone.get('/health/ready')).body.status).toBe('ok');
      const password = readFileSync(join(secrets, 'admin-password'), 'utf8');
      const admin = await anyone.signIn('admin@example.com', password);
      const { records } = await makeCollection(admin, 'public', 'trips');
      must(413, await admin.post(records, { data: { text: 'x'.repeat(2_000_000) } }));
      const line = lines(1, 20_000);
      expect(must(200, await admin.post(`${records}/bulk`, line, NDJSON)).body.inserted).toBe(20_000);
      expect(
        must(200, await admin.get(`${records}/export`))
          .text.trim()
          .split('\n'),
      ).toHaveLength(20_000);
      // The address is that of the connection, whatever the caller sends.
      await anyone.get('/api/v1/whose', { 'x-forwarded-for': '203.0.113.99' });
      await app.says(/"\/api\/v1\/whose"[^\n]*"ip":"127\.0\.0\.1"/);
    } finally {
      await nginx.close();
      await endPrograms();
      await redis.kill();
      await database.drop();
    }
  });

  it('gives Prometheus valid rules and a valid configuration, and Grafana the dashboards', () => {
    const { prometheus, grafana } = compose().services;
    const [script = ''] = prometheus?.command ?? [];
    const rules = join(folder, 'rules.yml');
    const [make = ''] = script.split('&&');
    const here = make.replace('/rules/', 'k8s/components/monitoring/').replace('/prometheus/rules.yml', rules);
    execFileSync('sh', ['-c', here]);
    const text = readFileSync('compose/prometheus.yml', 'utf8').replace('/prometheus/rules.yml', rules);
    const config = join(folder, 'prometheus.yml');
    writeFileSync(config, text);
    expect(execFileSync(need('promtool'), ['check', 'config', config], { encoding: 'utf8' })).toMatch(
      /SUCCESS: \d\d rules found/,
    );
    const { providers } = load(readFileSync('compose/grafana/dashboards.yaml', 'utf8')) as {
      providers: { options: { path: string } }[];
    };
    const mounted = grafana?.volumes?.find(({ target }) => target === providers[0]?.options.path);
    expect(readdirSync(mounted?.source ?? '')).toContain('floodgate-requests.json');
    const { datasources } = load(readFileSync('compose/grafana/datasources.yaml', 'utf8')) as {
      datasources: { type: string; url: string }[];
    };
    expect(datasources).toMatchObject([{ type: 'prometheus', url: 'http://prometheus:9090' }]);
  });
});
