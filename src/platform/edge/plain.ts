import type { IncomingMessage } from 'node:http';
import { accepts } from '../http/accept.js';

/** Headers that ask for more than a plain read. */
const SPECIAL = ['content-length', 'transfer-encoding', 'content-encoding', 'expect', 'upgrade'];

/** Nothing about the request needs a decision: it has no body, and JSON is welcome. */
export function isPlain({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion !== '1.1' || headers.host === undefined) return false;
  for (const name of SPECIAL) if (headers[name] !== undefined) return false;
  const { connection, accept } = headers;
  return (
    (connection === undefined || connection.toLowerCase() === 'keep-alive') &&
    (accept === undefined || accepts(accept, 'application/json'))
  );
}
