import type { IncomingMessage, ServerResponse } from 'node:http';
import { tooMuch } from './gate.js';
import { asBytes, lines, SECURITY_LINES, sendText } from './wire.js';

/** A body of so many bytes, most often there already, is thrown away; a longer one, or one of unknown length, never read. */
const SHORT_BODY = 65_536;

const PROBLEM = tooMuch();
const HEAD = `HTTP/1.1 503 Service Unavailable\r\n${SECURITY_LINES}${lines(PROBLEM.headers)}cache-control: no-store\r\ncontent-type: application/problem+json\r\n`;
const [BEGIN, MIDDLE, END] = JSON.stringify(PROBLEM.toDocument('*', '*')).split('*') as [string, string, string];

/** Whether the connection is of no further use to who is refused. A new one costs more than the refusal. */
export function isSpent({ headers }: IncomingMessage): boolean {
  const length = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : Number.NaN;
  return !(length <= SHORT_BODY);
}

/** Refuses with 503, by text that was put together before: when there is too much to do, this is what is done most. @returns how many bytes */
export function refuse(response: ServerResponse, path: string, id: string, own: string, isHead: boolean): number {
  const body = asBytes(`${BEGIN}${JSON.stringify(path).slice(1, -1)}${MIDDLE}${id}${END}`);
  const head = `${HEAD}content-length: ${body.length}\r\n${own}\r\n`;
  return sendText(response, PROBLEM.status, isHead ? head : head + body);
}
