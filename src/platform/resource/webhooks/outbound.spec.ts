import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Outbound } from './outbound.js';

const PRIVATE = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f.1',
  '0177.0.0.1',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '168.63.129.16',
  '100.64.0.1',
  '100.100.100.200',
  '198.18.0.1',
  '192.0.0.192',
  '224.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:a9fe:a9fe]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[2002:7f00:1::]',
  '[2001:0:1::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[fd00:ec2::254]',
  '[fc00::1]',
  '[ff02::1]',
  '[2001:db8::1]',
];

let server: Server;
let names: Socket;
let asked: string[] = [];
let requests = 0;
/** The A records that the name server gives out, one a question, the last one from then on. */
let records: string[] = [];

/** A name server on UDP that answers A questions with the next record, and others with none. */
function answerTo(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const isA = question.readUInt16BE(end - 4) === 1;
  const record = isA ? (records.length > 1 ? records.shift() : records[0]) : undefined;
  if (isA) asked.push(record ?? '');
  const head = Buffer.from(question.subarray(0, end));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(record ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  if (!record) return head;
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...record.split('.').map(Number)])]);
}

beforeAll(async () => {
  server = createServer((request, response) => {
    requests++;
    if (request.url === '/redirect') response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
    else if (request.url === '/huge') {
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', more);
      more();
    } else if (request.url === '/drip') {
      response.writeHead(200);
      const timer = setInterval(() => response.write('.'), 50);
      response.on('close', () => clearInterval(timer));
    } else if (request.url === '/head-drip') {
      const timer = setInterval(() => request.socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 50);
      request.socket.on('close', () => clearInterval(timer));
    } else if (request.url === '/switch')
      request.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    else if (request.url === '/reset') request.socket.resetAndDestroy();
    else if (request.url !== '/hang') response.end('fine');
  });
  names = createSocket('udp4').on('message', (question, from) =>
    names.send(answerTo(question), from.port, from.address),
  );
  await Promise.all([
    new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)),
    new Promise<void>((resolve) => names.bind(0, '127.0.0.1', resolve)),
  ]);
});
afterAll(() => {
  server?.closeAllConnections();
  server?.close();
  names?.close();
});
beforeEach(() => {
  asked = [];
  requests = 0;
});

const port = () => (server.address() as AddressInfo).port;
function outbound(...allowed: string[]): Outbound {
  const made = new Outbound({ WEBHOOK_TIMEOUT_MS: 1000, WEBHOOK_ALLOWED_ADDRESSES: allowed } as never);
  made.resolver.setServers([`127.0.0.1:${(names.address() as AddressInfo).port}`]);
  return made;
}

it.each(PRIVATE)('does not reach %s', async (host) => {
  const message = 'leads to an address that is not public';
  expect(() => outbound().check(`http://${host}/`)).toThrow(message);
  await expect(outbound().post(`http://${host}:${port()}/`, {}, '')).rejects.toThrow(message);
  expect(requests).toBe(0);
});

it.each(['8.8.8.8', '[2606:4700:4700::1111]', '1.1.1.1'])('may reach %s', (host) => {
  outbound().check(`https://${host}/`);
});

it('reaches what a setting allows, and nothing else', async () => {
  const some = outbound('127.0.0.0/8', 'fd00::/8');
  expect(await some.post(`http://127.0.0.1:${port()}/`, {}, '{}')).toBe(200);
  some.check('http://[fd00::1]/');
  for (const host of ['10.0.0.1', '[::1]', '[::ffff:10.0.0.1]', '169.254.169.254'])
    expect(() => some.check(`http://${host}/`)).toThrow('not public');
});

it('refuses a name that leads to a private address, also when it led elsewhere when it was asked before', async () => {
  const one = outbound();
  records = ['127.0.0.1'];
  await expect(one.post(`http://inside.test:${port()}/`, {}, '')).rejects.toThrow('not public');
  records = ['203.0.113.1', '127.0.0.1'];
  await expect(one.post(`http://other.test:${port()}/`, {}, '')).rejects.toThrow('not public');
  records = ['8.8.8.8', '127.0.0.1'];
  await one.resolver.resolve4('rebound.test');
  await expect(one.post(`http://rebound.test:${port()}/`, {}, '')).rejects.toThrow('not public');
  expect(requests).toBe(0);
  expect(asked).toContain('8.8.8.8');
});

it('takes an answer that switches protocols for its status', async () => {
  expect(await outbound('127.0.0.1/32').post(`http://127.0.0.1:${port()}/switch`, {}, '{}')).toBe(101);
});

it('connects to the address that was checked, and asks only once for it', async () => {
  const one = outbound('127.0.0.1/32');
  records = ['127.0.0.1', '10.0.0.1'];
  expect(await one.post(`http://rebound.test:${port()}/`, {}, '')).toBe(200);
  expect([asked, requests]).toEqual([['127.0.0.1'], 1]);
});

it('says what a name without an address is', async () => {
  records = [];
  await expect(outbound().post('http://nothing.test/', {}, '')).rejects.toThrow('the name has no address');
});

it('follows no redirect, and bounds what it reads and how long', async () => {
  const one = outbound('127.0.0.0/8');
  const post = (path: string) => one.post(`http://127.0.0.1:${port()}${path}`, {}, '{}');
  expect(await post('/redirect')).toBe(302);
  const begun = performance.now();
  expect(await post('/huge')).toBe(200);
  expect(performance.now() - begun).toBeLessThan(900);
  expect(await post('/drip')).toBe(200);
  for (const path of ['/hang', '/head-drip']) await expect(post(path)).rejects.toThrow('no answer in time');
  await expect(post('/reset')).rejects.toThrow('ECONNRESET');
  expect(performance.now() - begun).toBeLessThan(6000);
});
