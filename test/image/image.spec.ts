import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freePort } from '../../scripts/embedded-postgres.js';
import { until } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { buildImage, Container, compressedSize, inspectImage, LIMIT, removeImage, runImage } from '../support/image.js';
import { productionSettings } from '../support/process.js';
import { need } from '../support/program.js';
import { TestRedis } from '../support/redis.js';

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

let database: TestDatabase;
let redis: TestRedis;
beforeAll(async () => {
  buildImage();
  [database, redis] = await Promise.all([createDatabase(), TestRedis.start()]);
}, 240_000);
afterAll(async () => {
  removeImage();
  await redis?.kill();
  await database?.drop();
}, 60_000);

/** The settings in a cluster, where migrations run before the app, and several replicas run. */
const settings = (): Record<string, string> => {
  const { MIGRATE_ON_START, SINGLE_REPLICA, ...rest } = productionSettings(database.url);
  return { ...rest, REDIS_URL: redis.url, ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
};

describe('the image', () => {
  it('is below 100 MB compressed', () => {
    const size = compressedSize();
    expect(size).toBeLessThan(100e6);
    expect(size).toBeGreaterThan(30e6);
  });

  it('starts node like npm start, but without .env and without a shell, as user 1000, and has no health check of its own', () => {
    const { Config, Labels } = inspectImage();
    const [, , ...flags] = packageJson.scripts.start.split(' ').slice(0, -1);
    expect(Config.Entrypoint).toEqual(['node', ...flags, expect.stringMatching(/^--max-old-space-size-percentage=/)]);
    expect(Config.Cmd).toEqual([packageJson.scripts.start.split(' ').at(-1)]);
    expect(Config.User).toBe('1000:1000');
    expect(Config.Healthcheck).toBeUndefined();
    expect(Labels).toMatchObject({
      'org.opencontainers.image.title': 'Floodgate',
      'org.opencontainers.image.version': packageJson.version,
      'org.opencontainers.image.revision': 'abc',
    });
  });

  it('uses the Node version that the project is tested with', () => {
    expect(dockerfile).toContain(`NODE_IMAGE=docker.io/library/node:${packageJson.devDependencies.node}-slim`);
  });

  it('contains only the packages that are not in the bundle, and no file that its user could change', () => {
    const script = `
      const { accessSync, readdirSync, constants } = require('node:fs');
      const walk = (folder) => readdirSync(folder, { withFileTypes: true, recursive: true });
      const canWrite = ({ parentPath, name }) => { try { accessSync(parentPath + '/' + name, constants.W_OK); return true; } catch { return false; } };
      console.log(JSON.stringify({ packages: readdirSync('node_modules'), own: walk('.').filter(canWrite).length }));`;
    const { packages, own } = JSON.parse(runImage({}, '-e', script).stdout);
    expect(packages).toEqual(expect.arrayContaining(['pg', '@redis', 'swagger-ui-dist', 'uplot']));
    for (const name of ['node', 'typescript', 'typeorm', '@nestjs', 'esbuild', 'jest'])
      expect(packages).not.toContain(name);
    expect(own).toBe(0);
  });

  it("leaves memory of the container for more than V8's heap", () => {
    const heap = Number(runImage({}, '-p', 'v8.getHeapStatistics().heap_size_limit').stdout);
    expect(heap).toBeGreaterThan(LIMIT * 0.4);
    expect(heap).toBeLessThan(LIMIT * 0.6);
  });

  it('uses the code that V8 compiled during the build', () => {
    const { stderr } = runImage({ NODE_DEBUG_NATIVE: 'COMPILE_CACHE' });
    expect(stderr).toMatch(/\/app\/dist\/bundle\.cjs was accepted/);
  });

  it.each(['dist/floodgate.cjs', 'dist/migrate.cjs'])('reports each missing setting of %s in a line', (script) => {
    const { status, stdout, stderr } = runImage({}, script);
    expect(status).toBe(1);
    expect(stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^DATABASE_URL is missing/),
      expect.stringMatching(/^APP_SECRET is missing/),
      expect.stringMatching(/^JWT_PRIVATE_KEY is missing/),
      expect.stringMatching(/^REDIS_URL is missing/),
    ]);
    expect(stdout).toBe('');
  });

  it('migrates, serves the cached-read load within 256 MiB on a read-only disk, and stops cleanly', async () => {
    const migrated = runImage(settings(), 'dist/migrate.cjs');
    expect([migrated.status, migrated.stdout]).toEqual([0, expect.stringMatching(/^Migrated: /)]);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const container = Container.start({ ...settings(), PORT: String(port), DRAIN_DELAY_MS: '500', ADMIN_PAGE: 'true' });
    try {
      await until(async () => (await fetch(`${url}/health/ready`).catch(() => undefined))?.status === 200);
      const client = new Client(url);
      const admin = await client.signIn(ADMIN.email, ADMIN.password);
      expect((await client.get('/docs')).status).toBe(200);
      expect((await fetch(`${url}/docs/swagger-ui-bundle.js`)).status).toBe(200);
      for (const file of ['', '/admin.js', '/uPlot.esm.js'])
        expect([file, (await fetch(`${url}/admin${file}`)).status]).toEqual([file, 200]);
      await admin.put('/api/v1/data/hot', { visibility: 'public' });
      const record = await admin.post('/api/v1/data/hot/records', { data: { to: 'Oslo' } });
      const hot = url + record.headers.get('location');
      for (const connections of [64, 512]) {
        const { stdout } = spawnSync(need('wrk'), ['-t1', `-c${connections}`, '-d4s', hot], { encoding: 'utf8' });
        expect(Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThan(1000);
        expect(stdout).not.toMatch(/Socket errors|Non-2xx/);
      }
      expect(container.peak).toBeLessThan(LIMIT);
      expect(container.state).toMatchObject({ Running: true, OOMKilled: false });
      const began = Date.now();
      container.signal('TERM');
      expect(container.ended()).toBe(0);
      expect(Date.now() - began).toBeLessThan(10_000);
    } catch (error) {
      console.error(container.log.split('\n').slice(-20).join('\n'));
      throw error;
    } finally {
      container.remove();
    }
  }, 90_000);
});
