import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { all, compile } from '@fastify/proxy-addr';
import { normalizeIp } from '@nestjs/throttler';

/** Whether to trust the X-Forwarded-For of the host at `address`, `hop` hops away; the connection's peer is hop 0. */
type Trust = (address: string, hop: number) => boolean;

/**
 * What TRUST_PROXY means, also for Fastify's `request.ip`: given a plain number, Fastify would trust nobody, since it
 * cannot know that only the proxies reach the port.
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
    return 'X-Forwarded-For is trusted from nobody (TRUST_PROXY): callers have the addresses of their connections.';
  const hops = Number(trusted);
  if (!Number.isInteger(hops)) return `X-Forwarded-For is trusted from ${trusted} (TRUST_PROXY).`;
  const proxies = hops === 1 ? 'the one proxy' : `the ${hops} proxies`;
  return `X-Forwarded-For is trusted from ${proxies} in front (TRUST_PROXY), at any address.`;
}

/**
 * Finds the address that a request comes from; '' when its connection is closed.
 * @param trusted TRUST_PROXY
 */
export function addressReader(trusted?: string): (raw: IncomingMessage) => string {
  const isTrusted = trustOf(trusted);
  return (raw) => {
    const { remoteAddress = '' } = raw.socket;
    if (!isTrusted || raw.headers['x-forwarded-for'] === undefined) return remoteAddress;
    const forwarded = all(raw, isTrusted).at(-1) as string;
    // A proxy may add something that is no address: one with a port would be a new key for each connection.
    return isIP(forwarded) ? forwarded : remoteAddress;
  };
}

/** The key that an address is counted under: IPv6 by /64, which is what one customer has; IPv4 in IPv6 as IPv4. */
export const keyOf = (address: string) => (address.includes(':') ? normalizeIp(address) : address);
