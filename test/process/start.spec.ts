import { execFileSync } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { Client } from '../support/client.js';
import { until } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, productionSettings, startMain } from '../support/process.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database.drop());

/** Holds a start that failed against the contract: a line for each reason, no stack, exit code 1, soon. */
async function expectRefusal(program: Program, reasons: RegExp[], withinMs = 10_000): Promise<void> {
  const began = Date.now();
  expect(await program.end()).toEqual({ code: 1, signal: null });
  expect(Date.now() - began).toBeLessThan(withinMs);
  const lines = program.stderr.trimEnd().split('\n');
  expect(lines).toEqual(reasons.map((reason) => expect.stringMatching(reason)));
  expect(program.stdout + program.stderr).not.toMatch(/^ +at |node:internal/m);
}

describe('the built app', () => {
  it('starts in production with its settings alone, migrates, and says where it listens', async () => {
    const program = startMain(productionSettings(database.url));
    const client = new Client(await program.url());
    for (const probe of ['live', 'ready', 'startup']) expect((await client.get(`/health/${probe}`)).status).toBe(200);
    expect((await client.get('/api/v1/data')).body).toEqual({ items: [], nextCursor: null });
    expect((await client.get('/docs')).status).toBe(200);
    expect(program.stderr).toBe('');
  });

  it('gives back the memory that only its start needed, when it has nothing to do', async () => {
    const program = startMain(productionSettings(database.url));
    await program.url();
    let most = 0;
    await until(async () => {
      const mebibytes = Number(execFileSync('ps', ['-o', 'rss=', '-p', String(program.pid)])) / 1024;
      most = Math.max(most, mebibytes);
      return most - mebibytes > 20;
    });
  });

  it('makes the first admin from the settings, and not a second one at the next start', async () => {
    const own = await createDatabase();
    try {
      const admin = { ADMIN_EMAIL: 'first@example.com', ADMIN_PASSWORD: 'the-password-of-the-first' };
      for (let start = 0; start < 2; start++) {
        const program = startMain({ ...productionSettings(own.url), ...admin });
        const client = new Client(await program.url());
        await client.signIn(admin.ADMIN_EMAIL, admin.ADMIN_PASSWORD);
        expect(program.stdout + program.stderr).not.toContain(admin.ADMIN_PASSWORD);
        program.signal('SIGTERM');
        expect(await program.end()).toEqual({ code: 0, signal: null });
      }
      expect(await own.query('SELECT email, role FROM users')).toEqual([{ email: 'first@example.com', role: 'admin' }]);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });

  it('makes no admin in production without being told to', async () => {
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

describe('the built app says in a line why it does not start, when', () => {
  it('its port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const port = (server.address() as AddressInfo).port;
    try {
      await expectRefusal(startMain({ ...productionSettings(database.url), PORT: String(port) }), [
        new RegExp(`Port ${port} .*taken`),
      ]);
    } finally {
      server.close();
    }
  });

  it('its port is taken by another of its kind', async () => {
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

  it('its database takes connections and then says nothing', async () => {
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

  it('its database does not know its user, without saying the password', async () => {
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
      await expectRefusal(startMain(productionSettings(own.url)), [/9999999999999.* newer than this build/]);
    } finally {
      await endPrograms();
      await own.drop();
    }
  });
});
