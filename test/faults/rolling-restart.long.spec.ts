import { freePort } from '../../scripts/embedded-postgres.js';
import { ADMIN } from '../support/app.js';
import { type Balancer, connections, nginx } from '../support/balancer.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { TestRedis } from '../support/redis.js';
import { type Figures, row } from '../support/row.js';
import { Traffic } from '../support/traffic.js';

const DRAIN_DELAY_MS = 1000;
/** The interval at which the balancer learns of readiness. */
const PROBE_MS = 200;
const RECORDS = '/api/v1/data/trips/records';

let database: TestDatabase;
let redis: TestRedis;
beforeAll(async () => {
  redis = await TestRedis.start();
});
beforeEach(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  await endPrograms();
  await database?.drop();
});
afterAll(() => redis?.kill());

async function start(port: number): Promise<Program> {
  const program = startMain({
    ...productionSettings(database.url),
    PORT: String(port),
    REDIS_URL: redis.url,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    DRAIN_DELAY_MS: String(DRAIN_DELAY_MS),
  });
  await program.url();
  return program;
}

/** Like the kubelet and the endpoint controller, keeps telling the balancer which processes are ready. */
function direct(balancer: Balancer, ports: number[]): () => Promise<void> {
  let isOver = false;
  const isReady = async (port: number) => {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
    await answer?.arrayBuffer();
    return answer?.status === 200;
  };
  const directing = (async () => {
    while (!isOver) {
      balancer.direct(await Promise.all(ports.map(isReady)));
      await pause(PROBE_MS);
    }
  })();
  return async () => {
    isOver = true;
    await directing;
  };
}

/** Restarts two processes behind a balancer in turn under load; each is ready before the other one is stopped. */
async function rehearse(stand: (ports: [number, number]) => Promise<Balancer>, restarts: number): Promise<Figures> {
  const ports: [number, number] = [await freePort(), await freePort()];
  const programs = [await start(ports[0]), await start(ports[1])];
  const admin = await new Client(`http://127.0.0.1:${ports[0]}`).signIn(ADMIN.email, ADMIN.password);
  await admin.put('/api/v1/data/trips', { visibility: 'public' });
  const { id } = (await admin.post(RECORDS, { data: { to: 'Oslo' } })).body;
  const paths = [`${RECORDS}/${id}`, `${RECORDS}?limit=5`, '/api/v1/data'];
  const balancer = await stand(ports);
  const leave = direct(balancer, ports);
  const traffic = new Traffic(new Client(balancer.url, admin.tokens), paths, RECORDS);
  try {
    for (let restart = 0; restart < restarts; restart++) {
      const index = restart % 2;
      const [reads, writes] = [traffic.reads, traffic.created.length];
      programs[index]?.signal('SIGTERM');
      expect(await programs[index]?.end()).toEqual({ code: 0, signal: null });
      expect(programs[index]?.stderr).toBe('');
      programs[index] = await start(ports[index] as number);
      await pause(3 * PROBE_MS);
      // The load went on meanwhile.
      expect(traffic.reads).toBeGreaterThan(reads + 50);
      expect(traffic.created.length).toBeGreaterThan(writes + 50);
    }
  } finally {
    await traffic.stop();
    await leave();
    await balancer.close();
  }
  expect(traffic.failures).toEqual([]);
  const stored = new Set((await database.query<{ id: string }>('SELECT id FROM records')).map((row) => row.id));
  expect(traffic.created.filter((one) => !stored.has(one))).toEqual([]);
  return { restarts, reads: traffic.reads, 'acknowledged writes': traffic.created.length, failed: 0 };
}

describeWith('nginx', 'row 24 behind nginx', () => {
  row(24, 'nginx, configured like a gateway', () => rehearse(nginx, 12), 120_000);
});

row(24, 'a balancer of connections, which leaves open ones alone', () => rehearse(connections, 6), 90_000);
