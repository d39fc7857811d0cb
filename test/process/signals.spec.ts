import { connect } from 'node:net';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';

let database: TestDatabase;
let program: Program;
let admin: Client;
beforeEach(async () => {
  database = await createDatabase();
  program = startMain({
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    DATABASE_LOCK_TIMEOUT_MS: '15000',
  });
  admin = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
});
afterEach(async () => {
  await endPrograms();
  await database?.drop();
});

/** A change that waits for a lock while a signal comes. @returns its status */
async function inHand(work: () => Promise<void>): Promise<number> {
  await admin.put('/api/v1/data/stuck', { visibility: 'public' });
  const etag = (await admin.get('/api/v1/data/stuck')).headers.get('etag') as string;
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN; SELECT FROM collections FOR UPDATE');
  const stuck = admin.put('/api/v1/data/stuck', { visibility: 'private' }, { 'if-match': etag });
  await pause(300);
  await work();
  await holder.end();
  return (await stuck).status;
}

it.each(['SIGHUP', 'SIGPWR'] as const)('%s stops the app like SIGTERM, and does not hasten a stop', async (signal) => {
  const status = await inHand(async () => {
    for (let times = 0; times < 3; times++) {
      program.signal(signal);
      await pause(300);
    }
    expect(program.isRunning).toBe(true);
  });
  expect(status).toBe(200);
  expect(await program.end()).toEqual({ code: 0, signal: null });
  expect(program.stdout).toContain(`${signal}: stopping.`);
});

it.each(['SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGWINCH'] as const)('%s changes nothing', async (signal) => {
  const status = await inHand(async () => {
    program.signal(signal);
    await pause(500);
  });
  expect(status).toBe(200);
  expect((await admin.get('/health/ready')).status).toBe(200);
  expect([program.isRunning, program.stderr]).toEqual([true, '']);
});

it('SIGUSR1 opens no inspector', async () => {
  program.signal('SIGUSR1');
  await pause(500);
  expect(program.stderr).toBe('');
  const inspector = connect(9229, '127.0.0.1');
  await expect(
    new Promise((resolve) => inspector.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code))),
  ).resolves.toBe('ECONNREFUSED');
});

it('SIGQUIT ends the app at once', async () => {
  program.signal('SIGQUIT');
  expect((await program.end()).signal).toBe('SIGQUIT');
});
