import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { freePort } from '../../scripts/embedded-postgres.js';
import { untilOpen } from './nginx.js';
import { need } from './program.js';

type Settings = Record<string, string>;

/** The manifest's settings of PgBouncer. */
export function deployedPooler(): Settings {
  const text = readFileSync('k8s/components/postgres/pooler.yaml', 'utf8');
  const objects = loadAll(text) as { kind: string; spec: { pgbouncer: { poolMode: string; parameters: Settings } } }[];
  const { pgbouncer } = (objects.find(({ kind }) => kind === 'Pooler') as (typeof objects)[number]).spec;
  return { pool_mode: pgbouncer.poolMode, ...pgbouncer.parameters };
}

/** A real PgBouncer before a server, which a test may stop and restart at the same address. */
export class TestPooler {
  private process: ChildProcess | undefined;

  private constructor(
    readonly url: string,
    private readonly folder: string,
  ) {}

  /** @param database the one whose user and password it knows */
  static async start(database: string, settings: Settings): Promise<TestPooler> {
    const folder = mkdtempSync(join(tmpdir(), 'floodgate-pooler-'));
    // When the tests run as root, PgBouncer runs as a user of its own.
    chmodSync(folder, 0o755);
    const { username, password, hostname, port } = new URL(database);
    const own = await freePort();
    const all: Settings = {
      listen_addr: '127.0.0.1',
      listen_port: String(own),
      unix_socket_dir: '',
      auth_type: 'scram-sha-256',
      auth_file: join(folder, 'users'),
      ...(process.getuid?.() === 0 ? { user: 'nobody' } : {}),
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(join(folder, 'users'), `"${username}" "${password}"\n`);
    writeFileSync(
      join(folder, 'pgbouncer.ini'),
      `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join('')}`,
    );
    const url = Object.assign(new URL(database), { port: own }).href;
    const pooler = new TestPooler(url, folder);
    await pooler.start();
    return pooler;
  }

  async start(): Promise<void> {
    const child = spawn(need('pgbouncer'), ['--quiet', join(this.folder, 'pgbouncer.ini')], { stdio: 'inherit' });
    this.process = child;
    await untilOpen(Number(new URL(this.url).port), child);
  }

  /** Ends it at once, with all connections. */
  async kill(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
