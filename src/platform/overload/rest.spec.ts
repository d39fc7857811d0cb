import { setImmediate } from 'node:timers/promises';
import { Rest } from './rest.js';

/** A rest on an event loop that is busy to a part, and what was done to its connections. */
function create() {
  const loop = { busy: 1 };
  const rest = new Rest(() => loop.busy);
  const log: string[] = [];
  const connection = (name: string) => ({
    pause: () => log.push(`${name} pauses`),
    resume: () => log.push(`${name} resumes`),
  });
  const refuse = async (name: string, now: number) => {
    rest.refuse(connection(name), now);
    await setImmediate();
  };
  return { loop, rest, log, refuse };
}

it('leaves nobody unread before the process does little but refuse', async () => {
  const { loop, rest, log, refuse } = create();
  loop.busy = 0.8;
  await refuse('a', 0);
  rest.tick(50);
  await refuse('b', 60);
  loop.busy = 1;
  rest.answer();
  rest.tick(100);
  await refuse('c', 110);
  expect(log).toEqual([]);
});

it('leaves who is refused unread for a while when it does', async () => {
  const { rest, log, refuse } = create();
  await refuse('a', 0);
  rest.tick(50);
  await refuse('b', 60);
  expect(log).toEqual(['b pauses']);
  rest.answer();
  rest.tick(100);
  expect(log).toEqual(['b pauses', 'b resumes']);
});

it('leaves them longer the longer it lasts, up to a second', async () => {
  const { rest, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    await refuse('other', now);
    rest.tick(now);
  }
  log.length = 0;
  await refuse('last', 1000);
  for (let now = 1050; now < 2000; now += 50) {
    await refuse('other', now);
    rest.tick(now);
  }
  expect(log).not.toContain('last resumes');
  await refuse('other', 2000);
  rest.tick(2000);
  expect(log).toContain('last resumes');
});

it('reads everybody again when it is over', async () => {
  const { loop, rest, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    await refuse('one', now);
    rest.tick(now);
  }
  loop.busy = 0.5;
  for (let now = 1000; now < 2000; now += 50) rest.tick(now);
  const count = (what: string) => log.filter((line) => line === what).length;
  expect(count('one pauses')).toBe(19);
  expect(count('one resumes')).toBe(19);
  await refuse('two', 2000);
  expect(log).not.toContain('two pauses');
});
