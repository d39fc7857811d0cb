import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { freePort } from '../../scripts/embedded-postgres.js';
import { until } from './answers.js';
import { need } from './program.js';
import { TestRedis } from './redis.js';
import { started } from './started.js';

/** How long servers may not answer before the others take them for dead. */
const DEAD_MS = 1000;
export const PRIMARY = 'the-primary';

/** A primary, its replica, and three Sentinels that watch both. */
export interface Sentinels {
  url: string;
  ports: number[];
  servers: [TestRedis, TestRedis];
  /** The server that the Sentinels name. */
  primary(): Promise<TestRedis>;
  close(): Promise<void>;
}

/** @param password of Redis and of the Sentinels, if they are to have one */
export async function startSentinels(password = ''): Promise<Sentinels> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-sentinels-'));
  const own = (name: string) => ['--dir', folder, '--dbfilename', `${name}.rdb`];
  const secret = password ? ['--requirepass', password, '--masterauth', password] : [];
  const first = await TestRedis.start(...own('first'), ...secret);
  const second = await TestRedis.start('--replicaof', `127.0.0.1 ${first.port}`, ...own('second'), ...secret);
  const servers: [TestRedis, TestRedis] = [first, second];
  const ports = [await freePort(), await freePort(), await freePort()];
  const children = ports.map((port) => {
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${PRIMARY} 127.0.0.1 ${first.port} 2`,
      `sentinel down-after-milliseconds ${PRIMARY} ${DEAD_MS}`,
      `sentinel failover-timeout ${PRIMARY} 5000`,
      ...(password ? [`sentinel auth-pass ${PRIMARY} ${password}`, `requirepass ${password}`] : []),
      ...(password ? [`sentinel sentinel-pass ${password}`] : []),
    ];
    const file = join(folder, `${port}.conf`);
    writeFileSync(file, lines.join('\n'));
    return started(spawn(need('redis-server'), [file, '--sentinel'], { stdio: 'ignore' }));
  });
  const ask = (port: number, ...words: string[]) => commandAt(port, password, 'SENTINEL', ...words);
  const isReady = async (port: number) => {
    const quorum = await ask(port, 'CKQUORUM', PRIMARY).catch(String);
    return quorum.startsWith('OK 3') && (await ask(port, 'REPLICAS', PRIMARY)).includes(String(second.port));
  };
  for (const port of ports) await until(() => isReady(port), 20);
  return {
    url: `redis+sentinel://${password ? `:${password}@` : ''}${ports.map((port) => `127.0.0.1:${port}`).join(',')}/${PRIMARY}`,
    ports,
    servers,
    primary: async () => {
      const [, port] = JSON.parse(await ask(ports[1] as number, 'GET-MASTER-ADDR-BY-NAME', PRIMARY));
      return servers.find((server) => server.port === Number(port)) as TestRedis;
    },
    close: async () => {
      for (const child of children) {
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      for (const server of servers) await server.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Three primaries with a replica each. */
export interface Cluster {
  url: string;
  nodes: TestRedis[];
  /** The primary that has a key's slot, as a node other than the given one sees it. */
  ownerOf(key: string, without?: TestRedis): Promise<TestRedis>;
  /** Moves so many slots from one primary to another, with the keys in them. */
  move(slots: number, from: TestRedis, to: TestRedis): Promise<void>;
  close(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-cluster-'));
  const nodes: TestRedis[] = [];
  for (let i = 0; i < 6; i++) {
    const own = ['--dir', folder, '--dbfilename', `${i}.rdb`, '--cluster-config-file', `${i}.conf`];
    const bus = ['--cluster-port', String(await freePort()), '--cluster-node-timeout', String(DEAD_MS)];
    nodes.push(await TestRedis.start('--cluster-enabled', 'yes', ...own, ...bus));
  }
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const [one = ''] = addresses;
  await cli('--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes');
  const isKnown = async ({ port }: TestRedis) =>
    (await commandAt(port, '', 'CLUSTER', 'INFO')).includes('cluster_state:ok');
  for (const node of nodes) await until(() => isKnown(node), 20);
  const idOf = ({ port }: TestRedis) => commandAt(port, '', 'CLUSTER', 'MYID');
  return {
    url: `redis+cluster://${addresses.join(',')}`,
    nodes,
    ownerOf: async (key, without) => {
      const { port } = nodes.find((node) => node !== without) as TestRedis;
      const slot = Number(await commandAt(port, '', 'CLUSTER', 'KEYSLOT', key));
      const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
      try {
        const { master } = (await client.clusterSlots()).find(({ from, to }) => from <= slot && slot <= to) ?? {};
        return nodes.find((node) => node.port === master?.port) as TestRedis;
      } finally {
        client.destroy();
      }
    },
    move: async (slots, from, to) => {
      const ids = ['--cluster-from', await idOf(from), '--cluster-to', await idOf(to)];
      await cli('--cluster', 'reshard', one, ...ids, '--cluster-slots', String(slots), '--cluster-yes');
    },
    close: async () => {
      for (const node of nodes) await node.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

async function cli(...words: string[]): Promise<void> {
  const child = spawn(need('redis-cli'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece) => {
      said += piece;
    });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`redis-cli ${words.join(' ')}: ${said.slice(-2000)}`);
}

async function commandAt(port: number, password: string, ...words: string[]): Promise<string> {
  const client = createClient({ url: `redis://${password ? `:${password}@` : ''}127.0.0.1:${port}` });
  client.on('error', () => {});
  await client.connect();
  try {
    const reply = await client.sendCommand(words);
    return typeof reply === 'string' ? reply : JSON.stringify(reply);
  } finally {
    client.destroy();
  }
}
