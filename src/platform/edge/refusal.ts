import type { ServerResponse } from 'node:http';
import { tooMuch } from './gate.js';
import { asBytes, lines, SECURITY_LINES, sendText } from './wire.js';

const PROBLEM = tooMuch();
const HEAD = `HTTP/1.1 503 Service Unavailable\r\n${SECURITY_LINES}${lines(PROBLEM.headers)}cache-control: no-store\r\ncontent-type: application/problem+json\r\n`;
const [BEGIN, MIDDLE, END] = JSON.stringify(PROBLEM.toDocument('*', '*')).split('*') as [string, string, string];

/** Refuses with 503, by text that was put together before: when there is too much to do, this is what is done most. @returns how many bytes */
export function refuse(response: ServerResponse, path: string, id: string, own: string, isHead: boolean): number {
  const body = asBytes(`${BEGIN}${JSON.stringify(path).slice(1, -1)}${MIDDLE}${id}${END}`);
  const head = `${HEAD}content-length: ${body.length}\r\n${own}\r\n`;
  return sendText(response, PROBLEM.status, isHead ? head : head + body);
}
