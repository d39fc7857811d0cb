import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../scripts/embedded-postgres.js';
import { untilOpen } from './nginx.js';
import { need } from './program.js';
import { started } from './started.js';

const FIGURES = '/haproxy;csv';

/** A balancer's figures about a process behind it. */
interface Server {
  isUp: boolean;
  /** The number of times that it was taken out of service. */
  timesDown: number;
  /** The number of its answers. */
  answers: number;
}

/** A balancer that probes readiness, and sends callers to ready processes. */
export interface HaProxy {
  url: string;
  /** In the order of their addresses. */
  servers(): Promise<Server[]>;
  close(): Promise<void>;
}

/**
 * A real HAProxy. It takes a process out of service at the first probe that is not 200, so that it notices more than a kubelet, and
 * opens a connection to a process for each of its caller's. Probes have their own time-out, since a busy machine may not answer
 * within the interval of 200 ms.
 */
export async function haproxy(addresses: string[]): Promise<HaProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-haproxy-'));
  const port = await freePort();
  const servers = addresses.map((address, index) => `server s${index} ${new URL(address).host}`);
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `defaults
  mode http
  timeout connect 2s
  timeout check 2s
  timeout client 30s
  timeout server 30s
frontend callers
  bind 127.0.0.1:${port}
  stats enable
  stats uri /haproxy
  default_backend ready
backend ready
  http-reuse never
  retries 0
  option httpchk GET /health/ready
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
  ${servers.join('\n  ')}
`,
  );
  const child = started(
    spawn(need('haproxy'), ['-db', '-q', '-f', join(folder, 'haproxy.cfg')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  await untilOpen(port, child);
  const url = `http://127.0.0.1:${port}`;
  const balancer: HaProxy = {
    url,
    servers: async () => {
      const [names = [], ...rows] = (await (await fetch(url + FIGURES)).text())
        .split('\n')
        .map((line) => line.replace(/^# /, '').split(','));
      const of = (row: string[], name: string) => row[names.indexOf(name)] ?? '';
      return rows
        .filter((row) => /^s\d+$/.test(of(row, 'svname')))
        .map((row) => ({
          isUp: of(row, 'status').startsWith('UP'),
          timesDown: Number(of(row, 'chkdown')),
          answers: Number(of(row, 'stot')),
        }));
    },
    close: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
  // Another program may be listening there.
  if ((await balancer.servers()).length !== addresses.length) throw new Error('HAProxy did not start.');
  return balancer;
}
