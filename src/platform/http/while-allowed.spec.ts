import { jest } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import { LastingRequests } from './while-allowed.js';

/** The number of times that a guard is asked during three intervals about a request with this response. */
function looksAt(response: { closed: boolean; req: object }): number {
  jest.useFakeTimers();
  const lasting = new LastingRequests();
  let looks = 0;
  lasting.rechecks.push(async () => void looks++);
  const raw = { ...response };
  lasting.watch({ getArgByIndex: () => ({ raw }) } as unknown as ExecutionContext);
  jest.advanceTimersByTime(4500);
  const seen = looks;
  raw.closed = true;
  jest.advanceTimersByTime(4500);
  expect(looks).toBe(seen);
  lasting.onApplicationShutdown();
  expect(jest.getTimerCount()).toBe(0);
  return looks;
}
afterEach(() => jest.useRealTimers());

it.each([
  ['is connected', { closed: false, req: { socket: { destroyed: false } } }, 3],
  ['has disconnected', { closed: false, req: { socket: { destroyed: true } } }, 0],
  ['has a socket that Node has set to null', { closed: false, req: { socket: null } }, 0],
  ['has its answer', { closed: true, req: { socket: { destroyed: false } } }, 0],
])('asks guards again only while the caller waits: a caller who %s', (_, response, looks) => {
  expect(looksAt(response)).toBe(looks);
});
