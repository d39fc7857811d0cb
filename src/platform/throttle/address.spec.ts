import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import fastify from 'fastify';
import { addressReader, keyOf, trustOf, trustText } from './address.js';

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

it('trusts X-Forwarded-For only from the configured proxies, and only the entries that they added', () => {
  const forged = '203.0.113.9, 198.51.100.1';
  expect(addressReader()(request('192.0.2.7', forged))).toBe('192.0.2.7');
  const read = addressReader('10.0.0.0/8, 2001:db8::/32');
  expect(read(request('192.0.2.7', forged))).toBe('192.0.2.7');
  expect(read(request('10.1.2.3', forged))).toBe('198.51.100.1');
  expect(read(request('::ffff:10.1.2.3', forged))).toBe('198.51.100.1');
  expect(read(request('2001:db8::1', '203.0.113.9, 10.9.9.9'))).toBe('203.0.113.9');
  expect(read(request('10.1.2.3'))).toBe('10.1.2.3');
});

it('makes no key of anything but an address', () => {
  const read = addressReader('10.0.0.0/8');
  for (const odd of ['unknown', '198.51.100.1:4711', '', 'x'.repeat(9000)])
    expect(read(request('10.1.2.3', odd))).toBe('10.1.2.3');
});

it('trusts only the addresses that the configured number of proxies added, and none to the left of those', () => {
  const forged = '203.0.113.9, 10.1.1.1, 10.2.2.2';
  const intranet = '10.9.9.9';
  expect(addressReader('1')(request(intranet, forged))).toBe('10.2.2.2');
  expect(addressReader('2')(request(intranet, forged))).toBe('10.1.1.1');
  expect(addressReader('1')(request(intranet))).toBe(intranet);
  // With fewer entries than proxies, the caller is the leftmost one.
  expect(addressReader('3')(request(intranet, '10.2.2.2'))).toBe('10.2.2.2');
  expect(addressReader('1')(request(intranet, '203.0.113.9, unknown'))).toBe(intranet);
});

it('describes which proxies it trusts', () => {
  expect([undefined, '1', '2', '10.0.0.0/8,::1'].map(trustText)).toEqual([
    expect.stringContaining('trusted from nobody'),
    expect.stringContaining('trusted from the one proxy in front'),
    expect.stringContaining('trusted from the 2 proxies in front'),
    expect.stringContaining('trusted from 10.0.0.0/8,::1'),
  ]);
});

/** Entries of a header, and all headers of up to `most` of them. */
const ENTRIES = ['203.0.113.9', '10.0.0.2', '127.0.0.1', '2001:db8::1', '::ffff:10.1.2.3', '198.51.100.1:80', ' '];
const headersOf = (most: number): string[] =>
  most === 0 ? [''] : headersOf(most - 1).flatMap((rest) => [rest, ...ENTRIES.map((entry) => `${entry},${rest}`)]);
const HEADERS = [...new Set(headersOf(3).flatMap((header) => [header, header.replace(/,$/, '')]))];

it.each([undefined, '1', '2', '3', '10', '127.0.0.1', '127.0.0.1, 10.0.0.0/8', '2001:db8::/32'])(
  'agrees with Fastify about every header, with %s trusted',
  async (trusted) => {
    const read = addressReader(trusted);
    const server = fastify({ trustProxy: trustOf(trusted) ?? false }).get('/', (asked) => [asked.ip, read(asked.raw)]);
    const wrong: unknown[] = [];
    for (const remoteAddress of ['127.0.0.1', '10.0.0.1', '192.0.2.7']) {
      for (const header of [undefined, ...HEADERS]) {
        const headers = header === undefined ? {} : { 'x-forwarded-for': header };
        const [theirs, ours] = (await server.inject({ url: '/', remoteAddress, headers })).json();
        // Fastify would accept something that is not an address.
        if (ours !== (isIP(theirs) ? theirs : remoteAddress)) wrong.push([remoteAddress, header, theirs, ours]);
      }
    }
    expect(HEADERS.length).toBeGreaterThan(700);
    expect(wrong).toEqual([]);
    await server.close();
  },
);
