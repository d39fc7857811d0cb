import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { until } from '../support/answers.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database?.drop());

/** Expects a failed start as in the contract: a line for each reason, no stack, exit code 1, soon. */
async function expectRefusal(program: Program, reasons: RegExp[], withinMs = 10_000): Promise<void> {
  const began = Date.now();
  expect(await program.end()).toEqual({ code: 1, signal: null });
  expect(Date.now() - began).toBeLessThan(withinMs);
  const lines = program.stderr.trimEnd().split('\n');
  expect(lines).toEqual(reasons.map((reason) => expect.stringMatching(reason)));
  expect(program.stdout + program.stderr).not.toMatch(/^ +at |node:internal/m);
}

describe('the built app', () => {
  it('starts in production with its settings alone, migrates, and logs its address', async () => {
    const program = startMain(productionSettings(database.url));
    const client = new Client(await program.url());
    for (const probe of ['live', 'ready', 'startup']) expect((await client.get(`/health/${probe}`)).status).toBe(200);
    expect((await client.get('/api/v1/data')).body).toEqual({ items: [], nextCursor: null });
    expect((await client.get('/docs')).status).toBe(200);
    expect(program.stderr).toBe('');
  });

  it('frees the memory that only its start needed when it is idle', async () => {
    const program = startMain(productionSettings(database.url));
    await program.url();
    let most = 0;
    await until(async () => {
      const mebibytes = Number(execFileSync('ps', ['-o', 'rss=', '-p', String(program.pid)])) / 1024;
      most = Math.max(most, mebibytes);
      return most - mebibytes > 10;
    });
  });

  it('makes the first admin from the settings, and not a second one at the next start', async () => {
    const own = await createDatabase();
    try {
      const admin = { ADMIN_EMAIL: 'first@example.com', ADMIN_PASSWORD: 'the-password-of-the-first' };
      for (const isFirst of [true, false]) {
        const program = startMain({ ...productionSettings(own.url), ...admin });
        const client = new Client(await program.url());
        await client.signIn(admin.ADMIN_EMAIL, admin.ADMIN_PASSWORD);
        expect(program.stdout + program.stderr).not.toContain(admin.ADMIN_PASSWORD);
        expect(program.stdout.includes('ADMIN_EMAIL and ADMIN_PASSWORD were not used')).toBe(!isFirst);
        program.signal('SIGTERM');
        expect(await program.end()).toEqual({ code: 0, signal: null });
      }
      expect(await own.query('SELECT email, role FROM users')).toEqual([{ email: 'first@example.com', role: 'admin' }]);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });

  it('warns of probably misspelt settings, even when it then cannot start', async () => {
    const program = startMain({ ...productionSettings('postgres://u:p@127.0.0.1:1/x'), RATE_LIMIT: '5', PROT: '80' });
    expect((await program.end()).code).toBe(1);
    expect(program.stdout).toMatch(/"log.level":"warn".*RATE_LIMIT is not a setting/);
    expect(program.stdout).toMatch(/"log.level":"warn".*PROT is not a setting.*Was PORT meant\?/);
    expect(program.stdout.trim().split('\n')).toHaveLength(2);
  });

  it('keeps running after such a warning', async () => {
    const own = await createDatabase();
    try {
      const program = startMain({ ...productionSettings(own.url), PROT: '80' });
      const client = new Client(await program.url());
      // Longer than an exit would wait for the log.
      await pause(3000);
      expect((await client.get('/health/live')).status).toBe(200);
      expect([program.isRunning, program.stderr]).toEqual([true, '']);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });

  it('makes no admin in production by default', async () => {
    const own = await createDatabase();
    try {
      await startMain(productionSettings(own.url)).url();
      expect(await own.query('SELECT FROM users')).toEqual([]);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });
});

describe('the built app reports in one line why it does not start, when', () => {
  it.each([{}, { WEB_CONCURRENCY: '2', REDIS_URL: 'redis://127.0.0.1:1' }])(
    'its port is taken, before it creates anything %j',
    async (more) => {
      const server = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const port = (server.address() as AddressInfo).port;
      const own = await createDatabase();
      try {
        const settings = { ...productionSettings(own.url), PORT: String(port), ...(more as Record<string, string>) };
        await expectRefusal(startMain(settings), [new RegExp(`Port ${port} .*taken`)]);
        expect(await own.query(`SELECT to_regclass('migrations') AS name`)).toEqual([{ name: null }]);
      } finally {
        server.close();
        await own.drop();
      }
    },
  );

  it('its port is taken by another instance', async () => {
    const first = startMain(productionSettings(database.url));
    const { port } = new URL(await first.url());
    await expectRefusal(startMain({ ...productionSettings(database.url), PORT: port }), [
      new RegExp(`Port ${port} .*taken`),
    ]);
  });

  it('its address is not one of this machine', async () => {
    await expectRefusal(startMain({ ...productionSettings(database.url), HOST: '192.0.2.1' }), [/192\.0\.2\.1/]);
  });

  it('its database cannot be reached', async () => {
    await expectRefusal(startMain(productionSettings('postgres://u:hidden-word@127.0.0.1:1/x')), [/127\.0\.0\.1:1\b/]);
  });

  it('its role may not make tables', async () => {
    const own = await createDatabase();
    const role = `reader_${randomBytes(4).toString('hex')}`;
    await own.query(`CREATE ROLE ${role} LOGIN PASSWORD 'of-the-reader'`);
    try {
      const url = new URL(own.url);
      Object.assign(url, { username: role, password: 'of-the-reader' });
      const program = startMain(productionSettings(url.href));
      await expectRefusal(program, [/^PostgreSQL refused to prepare the schema: permission denied for schema public$/]);
      // Tables exist that it may not read.
      await startMain(productionSettings(own.url)).url();
      await expectRefusal(startMain(productionSettings(url.href)), [/permission denied for table migrations$/]);
      await own.query(`GRANT SELECT ON migrations TO ${role}`);
      const reading = {
        ...productionSettings(url.href),
        ADMIN_EMAIL: 'a@example.com',
        ADMIN_PASSWORD: 'of-the-first-admin',
      };
      await expectRefusal(startMain(reading), [
        /^PostgreSQL refused what the start needs: permission denied for table users$/,
      ]);
    } finally {
      await endPrograms();
      await own.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      await own.drop();
    }
  });

  it.each(['LATIN1', 'SQL_ASCII'])('its database is encoded in %s', async (encoding) => {
    const name = `encoded_${randomBytes(4).toString('hex')}`;
    await database.query(
      `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C' LOCALE_PROVIDER libc`,
    );
    try {
      const url = new URL(database.url);
      url.pathname = name;
      await expectRefusal(startMain(productionSettings(url.href)), [
        new RegExp(`^The database has the encoding ${encoding}, which lacks characters: create it with UTF8\\.$`),
      ]);
    } finally {
      await database.query(`DROP DATABASE ${name} WITH (FORCE)`);
    }
  });

  it.each([
    ['DATABASE_URL', '?sslmod=require', /^DATABASE_URL must have no parameter sslmod: known are sslmode, /],
    ['DATABASE_URL', '?sslmode=verify_full', /^DATABASE_URL must set sslmode to one of disable, verify-full, /],
    ['DATABASE_URL', '?sslmode=verify-full&sslmode=disable', /^DATABASE_URL must have sslmode only once$/],
    ['DATABASE_URL', '?ssl=true', /^DATABASE_URL must have no parameter ssl:/],
    ['DATABASE_URL', '?statement_timeout=0', /^DATABASE_URL must have no parameter statement_timeout:/],
    ['DATABASE_URL', '#sslmode=verify-full', /^DATABASE_URL must be a URL in which a # is written %23$/],
    ['DATABASE_MIGRATION_URL', '?sslmod=require', /^DATABASE_MIGRATION_URL must have no parameter sslmod:/],
    ['DATABASE_REPLICA_URLS', '?sslmod=require', /^DATABASE_REPLICA_URLS must have no parameter sslmod:/],
  ])('%s ends with %s, which would be ignored', async (name, rest, reason) => {
    await expectRefusal(startMain({ ...productionSettings(database.url), [name]: database.url + rest }), [reason]);
  });

  it.each(['?tls=true', '#1', '/0?db=1', '?'])('REDIS_URL ends with %s', async (rest) => {
    await expectRefusal(startMain({ ...productionSettings(database.url), REDIS_URL: `redis://127.0.0.1:1${rest}` }), [
      /^REDIS_URL must not have a \? or #: what follows them would have no effect$/,
    ]);
  });

  it('its database accepts connections and then stays silent', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    try {
      const { port } = silent.address() as AddressInfo;
      await expectRefusal(
        startMain(productionSettings(`postgres://u:p@127.0.0.1:${port}/x`)),
        [new RegExp(`127\\.0\\.0\\.1:${port}`)],
        15_000,
      );
    } finally {
      silent.close();
    }
  });

  it('its database does not know its user, without printing the password', async () => {
    const url = new URL(database.url);
    url.password = 'a-wrong-password';
    const program = startMain(productionSettings(url.href));
    await expectRefusal(program, [/database at .*password authentication failed/]);
    expect(program.stderr).not.toContain('a-wrong-password');
  });

  it("the database's schema is newer than the build", async () => {
    const own = await createDatabase();
    try {
      const first = startMain(productionSettings(own.url));
      await first.url();
      first.signal('SIGTERM');
      await first.end();
      await own.query(`INSERT INTO migrations ("timestamp", name) VALUES (9999999999999, 'Later9999999999999')`);
      await expectRefusal(startMain(productionSettings(own.url)), [
        /newer than this build \(\d+\), by Later9999999999999: .*npm run migrate -- --down/,
      ]);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });
});
