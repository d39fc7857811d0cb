import type { IncomingMessage } from 'node:http';
import { accepts } from '../http/accept.js';
import { isHost } from '../http/request-guard.js';

/** A read that the edge may answer: it has no body, asks for nothing special, and accepts JSON. */
export function isOrdinaryRead({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion !== '1.1' || !isHost(headers.host)) return false;
  const { connection, accept, expect, upgrade } = headers;
  return (
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers['content-encoding'] === undefined &&
    expect === undefined &&
    upgrade === undefined &&
    (connection === undefined || connection.toLowerCase() === 'keep-alive') &&
    (accept === undefined || accepts(accept, 'application/json'))
  );
}
