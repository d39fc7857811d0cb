import { randomInt } from 'node:crypto';
import { Client, type Response } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain, UNLIMITED } from '../support/process.js';
import { type Figures, row } from '../support/row.js';

/** Quotas per hour, so that none of them is regained while a test runs. */
const LIMITS = { RATE_LIMIT_REQUESTS: '60', LOGIN_LIMIT: '5', LOGIN_ADDRESS_LIMIT: '15', REGISTER_LIMIT: '8' };
const HOUR = { RATE_LIMIT_WINDOW_S: '3600', AUTH_LIMIT_WINDOW_S: '3600' };
type Headers = Record<string, string>;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database?.drop());

const octet = () => randomInt(1, 255);
const group = () => randomInt(0, 65_536).toString(16);
const address = () => `198.51.${octet()}.${octet()}`;
/** Headers in which proxies, or callers who imitate them, state an address. */
const TOLD: ((address: string) => Headers)[] = [
  (from) => ({ 'x-forwarded-for': from }),
  (from) => ({ 'x-forwarded-for': `${from}, 127.0.0.1` }),
  (from) => ({ forwarded: `for=${from};proto=https;by=127.0.0.1` }),
  (from) => ({ forwarded: `for="[2001:db8::${from.split('.').at(-1)}]"` }),
  (from) => ({ 'x-real-ip': from }),
  (from) => ({ 'x-client-ip': from, 'true-client-ip': from, 'cf-connecting-ip': from, 'x-cluster-client-ip': from }),
  (from) => ({ 'x-forwarded-for': from, 'x-real-ip': from, forwarded: `for=${from}`, via: `1.1 ${from}` }),
];

const kinds: Record<keyof typeof LIMITS, (client: Client, headers: Headers, i: number) => Promise<Response>> = {
  RATE_LIMIT_REQUESTS: (client, headers, i) =>
    i % 3 === 0
      ? client.get('/api/v1/users/me', { ...headers, authorization: `Bearer bad.token.${i}` })
      : client.get(i % 3 === 1 ? '/api/v1/data?limit=1' : '/api/v1/nothing', headers),
  LOGIN_LIMIT: (client, headers) =>
    client.post('/api/v1/auth/login', { email: 'eve@example.com', password: 'wrong' }, headers),
  LOGIN_ADDRESS_LIMIT: (client, headers, i) =>
    client.post('/api/v1/auth/login', { email: `eve${i}@example.com`, password: 'wrong' }, headers),
  REGISTER_LIMIT: (client, headers, i) =>
    client.post('/api/v1/auth/register', { email: `eve${i}@example.com`, password: 'short', name: 'Eve' }, headers),
};

/** Sends to each limit, on a process of its own, twice the allowed requests, each with the next headers. */
async function admittedOf(settings: Record<string, string>, headersOf: (i: number) => Headers): Promise<Figures> {
  const found: Figures = {};
  for (const [name, limit] of Object.entries(LIMITS) as [keyof typeof LIMITS, string][]) {
    const limited = { ...productionSettings(database.url), ...UNLIMITED, ...HOUR, [name]: limit, ...settings };
    const client = new Client(await startMain(limited).url());
    let admitted = 0;
    for (let i = 0; i < 2 * Number(limit); i++) {
      const { status } = await kinds[name](client, headersOf(i), i);
      if (status !== 429) admitted++;
    }
    expect([name, admitted]).toEqual([name, Number(limit)]);
    found[`admitted of ${2 * Number(limit)} by ${name}`] = admitted;
    await endPrograms();
  }
  return found;
}

const told = (i: number, from: string) => (TOLD[i % TOLD.length] as (typeof TOLD)[number])(from);

row(39, 'forged, without a proxy', () => admittedOf({}, (i) => told(i, address())));

row(39, 'forged, to a proxy that adds the address it sees', () =>
  admittedOf({ TRUST_PROXY: '127.0.0.1,10.0.0.0/8' }, (i) => {
    const forged = told(i, address());
    const before = forged['x-forwarded-for'];
    return { ...forged, 'x-forwarded-for': `${before ? `${before}, ` : ''}203.0.113.9${i % 2 ? ', 10.1.2.3' : ''}` };
  }),
);

row(39, 'rotated in one /64, seen by a proxy', async () => {
  const prefixes = ['2001:db8:0:7', '2001:DB8:0000:0007'];
  const within = (i: number) => {
    const host = `${group()}:${group()}:${group()}:${group()}`;
    return i % 3 === 2 ? `2001:db8:0:7::${group()}` : `${prefixes[i % 3]}:${host}`;
  };
  return admittedOf({ TRUST_PROXY: '127.0.0.1' }, (i) => ({ 'x-forwarded-for': within(i) }));
});

row(39, 'forged by a neighbour in a private range, behind one proxy with TRUST_PROXY=1', () =>
  admittedOf({ TRUST_PROXY: '1' }, (i) => {
    const forged = told(i, i % 2 ? address() : `10.${octet()}.${octet()}.${octet()}`);
    const before = forged['x-forwarded-for'];
    // The proxy sees the same neighbour each time.
    return { ...forged, 'x-forwarded-for': `${before ? `${before}, ` : ''}10.1.2.3` };
  }),
);
