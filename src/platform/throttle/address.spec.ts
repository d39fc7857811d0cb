import type { IncomingMessage } from 'node:http';
import fastify from 'fastify';
import { addressReader, keyOf } from './address.js';

const request = (remoteAddress: string | undefined, forwarded?: string) =>
  ({
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage;

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:c000:207', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
  ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  [undefined, ''],
])('counts %s for %s', (address, key) => {
  expect(keyOf(addressReader()(request(address)))).toBe(key);
});

it('believes X-Forwarded-For only from the configured proxies, and only what they have put there', () => {
  const forged = '203.0.113.9, 198.51.100.1';
  expect(addressReader()(request('192.0.2.7', forged))).toBe('192.0.2.7');
  const read = addressReader('10.0.0.0/8, 2001:db8::/32');
  expect(read(request('192.0.2.7', forged))).toBe('192.0.2.7');
  expect(read(request('10.1.2.3', forged))).toBe('198.51.100.1');
  expect(read(request('::ffff:10.1.2.3', forged))).toBe('198.51.100.1');
  expect(read(request('2001:db8::1', '203.0.113.9, 10.9.9.9'))).toBe('203.0.113.9');
  expect(read(request('10.1.2.3'))).toBe('10.1.2.3');
});

it('makes no key of what is not an address', () => {
  const read = addressReader('10.0.0.0/8');
  for (const odd of ['unknown', '198.51.100.1:4711', '', 'x'.repeat(9000)])
    expect(read(request('10.1.2.3', odd))).toBe('10.1.2.3');
});

it('agrees with Fastify', async () => {
  const trusted = '127.0.0.1, 10.0.0.0/8';
  const read = addressReader(trusted);
  const server = fastify({ trustProxy: trusted }).get('/', (asked) => [asked.ip, read(asked.raw)]);
  for (const remoteAddress of ['127.0.0.1', '10.0.0.1', '192.0.2.7']) {
    for (const forwarded of ['203.0.113.9', '203.0.113.9, 10.0.0.2', '203.0.113.9, 198.51.100.1, 127.0.0.1']) {
      const answer = await server.inject({ url: '/', remoteAddress, headers: { 'x-forwarded-for': forwarded } });
      const [theirs, ours] = answer.json();
      expect(ours).toBe(theirs);
    }
  }
  await server.close();
});
