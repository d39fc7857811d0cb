import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { canary, found, plantCanaries } from './canaries.js';

const { JWT_PRIVATE_KEY, secrets } = plantCanaries();
const of = (name: string) => secrets[name] as string;
const settings = {
  ...productionSettings(`postgres://u:${of('database')}@127.0.0.1:1/x`),
  REDIS_URL: `redis://:${of('redis')}@127.0.0.1:1`,
  APP_SECRET: of('application'),
  JWT_PRIVATE_KEY,
  ADMIN_EMAIL: 'admin@example.com',
  ADMIN_PASSWORD: of('admin'),
  OTEL_EXPORTER_OTLP_HEADERS: `api-key=${of('collector')}`,
  LOG_LEVEL: 'trace',
};
afterEach(endPrograms);

it('a failed start prints none of its secrets', async () => {
  const odd = canary('odd');
  const withPassword = (rest: string) => `postgres://u:${odd}${rest}`;
  const starts: Record<string, string>[] = [
    ...[
      '@127.0.0.1:1/x',
      '@127.0.0.1:notaport/x',
      '@[::1/x',
      '%zz@127.0.0.1:1/x',
      '@nowhere.invalid/x',
      '@/x',
      '@127.0.0.1:1/x?sslmode=verify-full&sslrootcert=/nothing',
    ].map((rest) => ({ DATABASE_URL: withPassword(rest) })),
    { DATABASE_URL: withPassword('@127.0.0.1:1/x'), DATABASE_MIGRATION_URL: withPassword('@127.0.0.1:2/x') },
    { DATABASE_URL: `https://u:${odd}@127.0.0.1/x`, DATABASE_REPLICA_URLS: `postgres://u:${odd}@` },
    { DATABASE_REPLICA_URLS: `nothing,${withPassword('@127.0.0.1:1/x')}` },
    { REDIS_URL: `redis://:${odd}@127.0.0.1:notaport` },
    { REDIS_URL: `redis://:${odd}%zz@127.0.0.1:1`, PORT: '1e9' },
    { REDIS_URL: `http://:${odd}@127.0.0.1` },
    { APP_SECRET: odd.slice(0, 31) },
    { JWT_PRIVATE_KEY: `-----BEGIN PRIVATE KEY-----\n${odd}\n-----END PRIVATE KEY-----` },
    { JWT_OTHER_PUBLIC_KEYS: JWT_PRIVATE_KEY.replace('PRIVATE', odd) },
    { ADMIN_PASSWORD: odd.repeat(9) },
    { OTEL_EXPORTER_OTLP_HEADERS: odd },
    { APP_SECRETS: odd, DATABASE_URl: odd },
    { APP_SECRET: '', APP_SECRET_FILE: `/nothing/${'x'.repeat(9)}` },
  ];
  for (const start of starts) {
    const program = startMain({ ...settings, ...start });
    const { code } = await program.end();
    const said = program.stdout + program.stderr;
    expect([start, code, found({ ...secrets, odd, part: odd.slice(0, 31) }, said)]).toEqual([start, 1, []]);
    expect(said.trim()).not.toBe('');
    expect([start, program.stderr]).toEqual([start, expect.not.stringMatching(/^ +at |node:internal/m)]);
  }
}, 120_000);

it('a secret is found by these tests, however it is encoded', () => {
  const writings = [
    of('user'),
    JSON.stringify({ password: of('user') }),
    `?password=${encodeURIComponent(of('user'))}`,
    btoa(`someone:${of('user')}`),
    Buffer.from(`x${of('user')}y`).toString('base64url'),
    Buffer.from(of('user')).toString('hex'),
  ];
  for (const writing of writings) expect([writing, found(secrets, writing)]).toEqual([writing, ['user']]);
});

it('the output of every process of every test is searched for its secrets', async () => {
  const program = startMain(productionSettings('postgres://u:hidden-words@127.0.0.1:1/x'));
  await program.end();
  await endPrograms();
  const leaking = startMain(productionSettings('postgres://u:hidden-words@127.0.0.1:1/x'));
  await leaking.end();
  leaking.stderr += 'postgres://u:hidden-words@127.0.0.1';
  await expect(endPrograms()).rejects.toThrow('secrets were written by the app: DATABASE_URL');
});
