import { createServer, type Server } from 'node:net';
import { must, until } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, expectUnharmed, pause, productionSettings, startMain } from '../support/process.js';
import { accept, answerWith, Receiver } from '../support/receiver.js';
import { inMs, row } from '../support/row.js';

const SECRET = /whsec_[A-Za-z0-9+/=]+/;
/** Of an hour, in seconds. */
const HOUR_S = 3600;

let database: TestDatabase;
let receiver: Receiver;
/** A server where nothing may arrive. */
let trap: Server;
let trapped = 0;
beforeEach(async () => {
  trapped = 0;
  trap = createServer((socket) => {
    trapped++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => trap.listen(0, resolve));
  [database, receiver] = await Promise.all([createDatabase(), Receiver.start()]);
});
afterEach(async () => {
  await endPrograms();
  await Promise.all([database.drop(), receiver.close()]);
  trap.close();
});

const trapPort = () => (trap.address() as { port: number }).port;

async function start(settings: Record<string, string> = {}) {
  const program = startMain({
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    WEBHOOK_ALLOWED_ADDRESSES: '127.0.0.0/8',
    WEBHOOK_TIMEOUT_MS: '1000',
    ...settings,
  });
  const client = new Client(await program.url());
  return { program, admin: await client.signIn(ADMIN.email, ADMIN.password) };
}

async function subscribe(by: Client, more: object = {}) {
  const set = await makeCollection(by, 'private');
  const made = must(201, await by.post(`${set.path}/webhooks`, { url: receiver.url, ordered: true, ...more }));
  receiver.secret = made.body.secret;
  return { set, path: made.headers.get('location') as string };
}

interface State {
  failures: number;
  pause: number;
}
const stateOf = async (): Promise<State> => {
  const [state] = await database.query<State>(
    'SELECT failures, extract(epoch FROM retry_at - now())::float8 AS pause FROM webhooks',
  );
  return state as State;
};
/** Lets the pause before the next attempt pass, as if the clock had moved on. */
const skipPause = () => database.query('UPDATE webhooks SET retry_at = now()');

row(
  58,
  '',
  async () => {
    const { program, admin } = await start();
    const { set, path } = await subscribe(admin);
    let made = 0;
    const change = () => makeRecord(admin, set, { n: made++ });
    const delivered = () => until(async () => receiver.accepted.length === made, 30);
    await change();
    await delivered();

    const faults: Record<string, Receiver['behaviour']> = {
      'no answer in time': () => {},
      ECONNRESET: (response) => response.socket?.resetAndDestroy(),
      'HTTP 302': answerWith(302, { location: 'http://169.254.169.254/latest/meta-data/' }),
      'HTTP 307': answerWith(307, { location: `http://127.0.0.1:${trapPort()}/` }),
      'HTTP 503': (response) => {
        response.writeHead(503);
        const timer = setInterval(() => response.write('.'), 20);
        response.on('close', () => clearInterval(timer));
      },
      'HTTP 500': (response) => {
        response.writeHead(500);
        const flood = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        };
        response.on('drain', flood);
        flood();
      },
    };
    for (const [error, behaviour] of Object.entries(faults)) {
      receiver.behaviour = behaviour;
      await change();
      await until(async () => (await admin.get(path)).body.lastError === error, 30);
      receiver.behaviour = accept;
      await change();
      await skipPause();
      await delivered();
      await until(async () => (await admin.get(path)).body.state === 'on');
    }

    receiver.behaviour = answerWith(500);
    const { length: before } = receiver.received;
    let seconds = 0;
    for (let failures = 1; seconds < HOUR_S; failures++) {
      await change();
      let state: State = await stateOf();
      await until(async () => {
        state = await stateOf();
        return state.failures === failures;
      }, 30);
      seconds += Math.max(0, state.pause);
      if (seconds < HOUR_S) await skipPause();
    }
    const attempts = receiver.received.length - before;
    receiver.behaviour = accept;
    await skipPause();
    await delivered();
    expect(receiver.numbers).toEqual(Array.from({ length: made }, (_, n) => n));
    expect([trapped, receiver.forged]).toEqual([0, 0]);
    const { text } = await admin.get('/metrics');
    expect(text).toContain(`webhook_deliveries_total{outcome="delivered"} ${made}\n`);
    expect(text).toMatch(/^webhook_oldest_undelivered_seconds \d/m);
    expect(program.stdout + text).not.toMatch(SECRET);
    expectUnharmed(program);
    return {
      faults: Object.keys(faults).length,
      'attempts in an hour of 500': attempts,
      changes: made,
      'in order': made,
    };
  },
  240_000,
);

row(
  59,
  '',
  async () => {
    const { program, admin } = await start({ WEBHOOK_ALLOWED_ADDRESSES: '' });
    const set = await makeCollection(admin);
    const port = trapPort();
    const forms = ['127.0.0.1', '127.1', '2130706433', '0x7f.1', '0177.1', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'];
    const never = [
      '169.254.169.254',
      '10.0.0.1',
      '100.64.0.1',
      '224.0.0.1',
      '[fe80::1]',
      '[fd00:ec2::254]',
      '[ff02::1]',
    ];
    for (const host of [...forms, ...never])
      must(400, await admin.post(`${set.path}/webhooks`, { url: `http://${host}:${port}/` }));
    // A name is looked up only when it is connected to; and a setting may have allowed an address before.
    const made = must(201, await admin.post(`${set.path}/webhooks`, { url: `http://localhost:${port}/` }));
    const path = made.headers.get('location') as string;
    const errors = new Set<string>();
    await makeRecord(admin, set);
    for (const host of ['localhost', ...forms]) {
      await database.query(`UPDATE webhooks SET url = $1, last_error = NULL, retry_at = now()`, [
        `http://${host}:${port}/`,
      ]);
      await until(async () => (await admin.get(path)).body.lastError !== null, 40);
      errors.add((await admin.get(path)).body.lastError);
    }
    expect(trapped).toBe(0);
    expect([...errors]).toContain('leads to an address that is not public');
    expectUnharmed(program);
    return {
      'refused when made': forms.length + never.length,
      'refused when connected to': forms.length + 1,
      arrived: trapped,
    };
  },
  120_000,
);

row(
  60,
  '',
  async () => {
    const first = await start();
    const { set } = await subscribe(first.admin);
    const records = await Promise.all(Array.from({ length: 4 }, () => makeRecord(first.admin, set, { n: 0 })));
    const tags = records.map(({ etag }) => etag);
    receiver.behaviour = async (response, event) => {
      await pause(receiver.received.length === 20 ? 60_000 : 20);
      accept(response, event);
    };
    const change = async (n: number, by: Client) => {
      for (const [at, { path }] of records.entries())
        tags[at] = etagOf(must(200, await by.patch(path, { data: { n } }, { 'if-match': tags[at] as string })));
    };
    for (let n = 1; n <= 5; n++) await change(n, first.admin);
    await until(async () => receiver.received.length === 20, 30);
    first.program.signal('SIGKILL');
    await first.program.end();
    const killedAt = Date.now();
    const second = await start();
    for (let n = 6; n <= 8; n++) await change(n, second.admin);
    const versions = () => new Set(receiver.accepted.map(({ data }) => `${data.id} ${data.version}`));
    await until(async () => versions().size === 4 * 9, 60);
    const again = receiver.received.find(({ at }) => at > killedAt) as { at: number };
    for (const { id } of records) {
      const seen = receiver.accepted.filter(({ data }) => data.id === id).map(({ data }) => data.version);
      const firsts = seen.filter((version, at) => seen.indexOf(version) === at);
      expect(firsts).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(again.at - killedAt).toBeLessThan(40_000);
    expectUnharmed(second.program);
    return {
      changes: versions().size,
      delivered: receiver.received.length,
      'by another worker after': inMs(again.at - killedAt),
    };
  },
  150_000,
);
