import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from 'redis';
import { freePort } from '../../scripts/embedded-postgres.js';
import { need } from './program.js';
import { started } from './started.js';

/** A real Redis, which a test may stop, freeze and restart at the same address. */
export class TestRedis {
  private process: ChildProcess | undefined;

  private constructor(
    readonly url: string,
    readonly port: number,
    private readonly settings: string[],
  ) {}

  /** @param settings arguments of redis-server, such as '--maxmemory', '2mb' */
  static async start(...settings: string[]): Promise<TestRedis> {
    const port = await freePort();
    const redis = new TestRedis(`redis://127.0.0.1:${port}`, port, settings);
    await redis.start();
    return redis;
  }

  async start(): Promise<void> {
    const fixed = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    // A replica's copy of its primary would else stay in a file, and be loaded by the next one.
    fixed.push('--rdb-del-sync-files', 'yes');
    const child = started(
      spawn(need('redis-server'), [...fixed, ...this.settings], { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    this.process = child;
    let said = '';
    for await (const chunk of child.stdout) {
      said += chunk;
      if (said.includes('Ready to accept connections')) return void child.stdout.resume();
    }
    throw new Error(`Redis did not start: ${said}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.process?.kill(signal);
  }

  /** Redis's reply to a command. */
  async command(...words: string[]): Promise<string> {
    // Sentinel closes the connections of a server that becomes a replica: this one is opened again.
    const client = createClient({ url: this.url }).on('error', () => {});
    await client.connect();
    try {
      return String(await client.sendCommand(words));
    } finally {
      client.destroy();
    }
  }

  /** Ends it at once, as in a crash. */
  async kill(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}
