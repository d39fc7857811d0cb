import type { ServerResponse } from 'node:http';
import { lines } from '../http/headers.js';
import { asBytes, beginningOf, sendText } from '../http/response.js';
import { tooMuch } from './admitted-request.js';

const PROBLEM = tooMuch();
const HEAD = `${beginningOf(PROBLEM.status)}${lines(PROBLEM.headers)}cache-control: no-store\r\ncontent-type: application/problem+json\r\n`;
const [BEGIN, MIDDLE, END] = JSON.stringify(PROBLEM.toDocument('*', '*')).split('*') as [string, string, string];

/** Refuses with 503. The text is prepared, since this is the most frequent answer in overload. @returns bytes sent */
export function refuse(response: ServerResponse, path: string, id: string, own: string, isHead: boolean): number {
  const body = asBytes(`${BEGIN}${JSON.stringify(path).slice(1, -1)}${MIDDLE}${id}${END}`);
  const head = `${HEAD}content-length: ${body.length}\r\n${own}\r\n`;
  return sendText(response, PROBLEM.status, isHead ? head : head + body);
}
