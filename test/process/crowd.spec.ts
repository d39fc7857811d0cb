import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database?.drop());

const CROWD = 1000;
/** The state in the kernel's notation. */
const LISTEN = '0A';

/** The number of sockets that listen on the port, see proc(5) on net/tcp. */
function listeners(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  return rows.filter((row) => {
    const [, local, , state] = row.trim().split(/\s+/);
    return local?.endsWith(suffix) && state === LISTEN;
  }).length;
}

/** @returns the first line of the answer, and the connection, which stays open */
function ask(port: number): Promise<{ head: string; socket: Socket }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'));
    socket.once('data', (chunk) => resolve({ head: chunk.toString().split('\r\n')[0] as string, socket }));
    socket.once('error', reject);
  });
}

const linux = process.platform === 'linux' ? it : it.skip;

linux('accepts a crowd on several sockets, answers all of it, and lets go of all when it stops', async () => {
  const program = startMain(productionSettings(database.url));
  const port = Number(new URL(await program.url()).port);
  expect(listeners(port)).toBe(32);
  const crowd = await Promise.all(Array.from({ length: CROWD }, () => ask(port)));
  expect(crowd.filter(({ head }) => head === 'HTTP/1.1 200 OK')).toHaveLength(CROWD);
  program.signal('SIGTERM');
  expect(await program.end()).toEqual({ code: 0, signal: null });
  expect(listeners(port)).toBe(0);
  for (const { socket } of crowd) socket.destroy();
});
