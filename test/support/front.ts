import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../scripts/embedded-postgres.js';
import { ADMIN } from './app.js';
import { Client } from './client.js';
import { createDatabase, type TestDatabase } from './database.js';
import { type Nginx, runNginx } from './nginx.js';
import { endPrograms, type Program, productionSettings, startMain } from './process.js';
import { need } from './program.js';
import { TestRedis } from './redis.js';

/** The name that deploy/nginx.conf has for the API. */
export const NAME = 'api.example.com';

/** Two processes behind nginx, as deploy/nginx.conf has it. */
export interface Front {
  /** Its `url` leads to the same server as `secure`, without TLS. */
  nginx: Nginx;
  /** Ports of the server with TLS, and of the one that sends callers there. */
  secure: number;
  insecure: number;
  /** The certificate that it signed itself, in PEM. */
  certificate: string;
  programs: [Program, Program];
  /** Starts a process again, where it was. */
  restart(index: 0 | 1): Promise<void>;
  anyone: Client;
  /** The first admin, signed in. */
  admin: Client;
  database: TestDatabase;
  close(): Promise<void>;
}

/**
 * @param settings of both processes
 * @param adapt changes the configuration further
 */
export async function startFront(
  settings: Record<string, string> = {},
  adapt = (configuration: string): string => configuration,
): Promise<Front> {
  const database = await createDatabase();
  const redis = await TestRedis.start();
  const ports = [await freePort(), await freePort()];
  const start = async (port: number): Promise<Program> => {
    const program = startMain({
      ...productionSettings(database.url),
      SINGLE_REPLICA: 'false',
      REDIS_URL: redis.url,
      PORT: String(port),
      PUBLIC_URL: `https://${NAME}`,
      TRUST_PROXY: '1',
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ...settings,
    });
    await program.url();
    return program;
  };
  const programs: [Program, Program] = [await start(ports[0] as number), await start(ports[1] as number)];
  const [secure, insecure] = [await freePort(), await freePort()];
  const nginx = await runNginx((place) => adapt(adapted(place, ports as [number, number], secure, insecure)));
  const anyone = new Client(nginx.url);
  return {
    nginx,
    secure,
    insecure,
    certificate: readFileSync(join(nginx.folder, 'tls.crt'), 'utf8'),
    programs,
    restart: async (index) => {
      programs[index] = await start(ports[index] as number);
    },
    anyone,
    admin: await anyone.signIn(ADMIN.email, ADMIN.password),
    database,
    close: async () => {
      await nginx.close();
      await endPrograms();
      await redis.kill();
      await database.drop();
    },
  };
}

/** deploy/nginx.conf with the ports, files and certificate of the test. */
function adapted(
  { folder, port }: { folder: string; port: number },
  ports: [number, number],
  secure: number,
  insecure: number,
): string {
  certify(folder);
  mkdirSync(join(folder, 'www'));
  writeFileSync(join(folder, 'www/index.html'), '<title>A front end</title>');
  writeFileSync(join(folder, 'www/app.js'), `// ${'x'.repeat(2000)}`);
  const changes: Record<string, string> = {
    '127.0.0.1:3001': `127.0.0.1:${ports[0]}`,
    '127.0.0.1:3002': `127.0.0.1:${ports[1]}`,
    'listen 80 ': `listen 127.0.0.1:${insecure} `,
    'listen [::]:80 default_server;': '',
    'listen 443 ssl http2;': `listen 127.0.0.1:${secure} ssl http2; listen 127.0.0.1:${port};`,
    'listen [::]:443 ssl http2;': '',
    '/etc/ssl/floodgate': folder,
    '/var/www/floodgate': join(folder, 'www'),
    '/var/cache/floodgate': join(folder, 'cache'),
    '/var/log/nginx/access.log': join(folder, 'access.log'),
  };
  let text = readFileSync('deploy/nginx.conf', 'utf8');
  for (const [from, to] of Object.entries(changes)) {
    if (!text.includes(from)) throw new Error(`deploy/nginx.conf has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Makes tls.key, and tls.crt that it signs itself. */
export function certify(folder: string): void {
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    join(folder, 'tls.key'),
  ];
  const subject = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-days', '2'];
  execFileSync(need('openssl'), ['req', '-x509', ...key, ...subject, '-out', join(folder, 'tls.crt')], {
    stdio: 'pipe',
  });
}
