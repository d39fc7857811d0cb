import type { IncomingMessage } from 'node:http';
import { accepts } from '../http/accept.js';
import { isHost } from '../http/request-guard.js';

/** Nothing about the request needs a decision: it has no body, and JSON is welcome. */
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
