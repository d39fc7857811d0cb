import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { all, compile } from '@fastify/proxy-addr';
import { normalizeIp } from '@nestjs/throttler';

/**
 * Finds the address that a request comes from; '' when its connection has gone.
 * @param trusted TRUST_PROXY; read as Fastify reads it for `request.ip`
 */
export function addressReader(trusted?: string): (raw: IncomingMessage) => string {
  const isTrusted = trusted ? compile(trusted.split(',').map((range) => range.trim())) : undefined;
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
