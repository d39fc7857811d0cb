import { EventEmitter } from 'node:events';
import { jest } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import { LastingRequests } from './while-allowed.js';

/** What a guard was asked in three looks at a request whose response is this one. */
function looksAt(response: object): number {
  jest.useFakeTimers();
  const lasting = new LastingRequests();
  let looks = 0;
  lasting.rechecks.push(async () => void looks++);
  const raw = Object.assign(new EventEmitter(), response);
  lasting.watch({ switchToHttp: () => ({ getResponse: () => ({ raw }) }) } as unknown as ExecutionContext);
  jest.advanceTimersByTime(4500);
  expect(jest.getTimerCount()).toBe(looks > 0 ? 1 : 0);
  raw.emit('close');
  expect(jest.getTimerCount()).toBe(0);
  return looks;
}
afterEach(() => jest.useRealTimers());

it.each([
  ['is there', { closed: false, req: { socket: { destroyed: false } } }, 3],
  ['has gone', { closed: false, req: { socket: { destroyed: true } } }, 0],
  ['is one that Node has let go of', { closed: false, req: { socket: null } }, 0],
  ['has its answer', { closed: true, req: { socket: { destroyed: false } } }, 0],
])('looks again for as long as its caller is there: who %s', (_, response, looks) => {
  expect(looksAt(response)).toBe(looks);
});
