import type { IncomingMessage } from 'node:http';
import { accepts } from '../http/accept.js';
import { isHost } from '../http/request-guard.js';

const PLAIN_CONNECTIONS = new Set(['keep-alive', 'close']);

/** A read that the edge may answer: it has no body, asks for nothing special, and accepts JSON. */
export function isOrdinaryRead({ headers, httpVersion }: IncomingMessage): boolean {
  const { connection, accept, expect, upgrade } = headers;
  // Without that header, HTTP/1.0 closes its connection.
  if (!(httpVersion === '1.1' || (httpVersion === '1.0' && connection === undefined)) || !isHost(headers.host))
    return false;
  return (
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers['content-encoding'] === undefined &&
    expect === undefined &&
    upgrade === undefined &&
    (connection === undefined || PLAIN_CONNECTIONS.has(connection.toLowerCase())) &&
    (accept === undefined || accepts(accept, 'application/json'))
  );
}
