import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { all, compile } from '@fastify/proxy-addr';
import { normalizeIp } from '@nestjs/throttler';

/** Whether what the one so many hops away says of who is behind it is believed; the connection's other end is 0 hops away. */
type Trust = (address: string, hop: number) => boolean;

/**
 * What TRUST_PROXY means, for Fastify's `request.ip` as well: Fastify takes a plain number for nobody, since it cannot know
 * that nobody else reaches the port.
 */
export function trustOf(trusted?: string): Trust | undefined {
  if (!trusted) return undefined;
  const hops = Number(trusted);
  if (Number.isInteger(hops)) return (_address, hop) => hop < hops;
  return compile(trusted.split(',').map((range) => range.trim()));
}

/** For the log. */
export function trustText(trusted?: string): string {
  if (!trusted)
    return 'X-Forwarded-For is believed of nobody (TRUST_PROXY): callers have the addresses of their connections.';
  const hops = Number(trusted);
  if (!Number.isInteger(hops)) return `X-Forwarded-For is believed of ${trusted} (TRUST_PROXY).`;
  const proxies = hops === 1 ? 'the one proxy' : `the ${hops} proxies`;
  return `X-Forwarded-For is believed of ${proxies} in front (TRUST_PROXY), whatever their addresses.`;
}

/**
 * Finds the address that a request comes from; '' when its connection has gone.
 * @param trusted TRUST_PROXY
 */
export function addressReader(trusted?: string): (raw: IncomingMessage) => string {
  const isTrusted = trustOf(trusted);
  return (raw) => {
    const { remoteAddress = '' } = raw.socket;
    if (!isTrusted || raw.headers['x-forwarded-for'] === undefined) return remoteAddress;
    const forwarded = all(raw, isTrusted).at(-1) as string;
    // What a proxy adds that is no address, such as one with a port, would make a key of each connection.
    return isIP(forwarded) ? forwarded : remoteAddress;
  };
}

/** What an address is counted as: IPv6 by its /64, which is what one customer has; IPv4 in IPv6 as IPv4. */
export const keyOf = (address: string) => (address.includes(':') ? normalizeIp(address) : address);
