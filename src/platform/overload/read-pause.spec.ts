import { ReadPause } from './read-pause.js';

/** A rest on an event loop that is busy to a part, and what was done to its connections. */
function create() {
  const loop = { busy: 1 };
  const rest = new ReadPause(() => loop.busy);
  const log: string[] = [];
  const refuse = (name: string, now: number) => {
    const socket = { pause: () => log.push(`${name} pauses`), resume: () => log.push(`${name} resumes`) };
    rest.refuse({ socket, once: (_event, listener) => listener() }, now);
  };
  return { loop, rest, log, refuse };
}

it('leaves nobody unread before the process does little but refuse', () => {
  const { loop, rest, log, refuse } = create();
  loop.busy = 0.8;
  refuse('a', 0);
  rest.tick(50);
  refuse('b', 60);
  loop.busy = 1;
  rest.answer();
  rest.tick(100);
  refuse('c', 110);
  expect(log).toEqual([]);
});

it('leaves who is refused unread for a while when it does', () => {
  const { rest, log, refuse } = create();
  refuse('a', 0);
  rest.tick(50);
  refuse('b', 60);
  expect(log).toEqual(['b pauses']);
  rest.answer();
  rest.tick(100);
  expect(log).toEqual(['b pauses', 'b resumes']);
});

it('leaves them longer the longer it lasts, up to a second', () => {
  const { rest, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    refuse('other', now);
    rest.tick(now);
  }
  log.length = 0;
  refuse('last', 1000);
  for (let now = 1050; now < 2000; now += 50) {
    refuse('other', now);
    rest.tick(now);
  }
  expect(log).not.toContain('last resumes');
  refuse('other', 2000);
  rest.tick(2000);
  expect(log).toContain('last resumes');
});

it('reads everybody again when it is over', () => {
  const { loop, rest, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    refuse('one', now);
    rest.tick(now);
  }
  loop.busy = 0.5;
  for (let now = 1000; now < 2000; now += 50) rest.tick(now);
  const count = (what: string) => log.filter((line) => line === what).length;
  expect(count('one pauses')).toBe(19);
  expect(count('one resumes')).toBe(19);
  refuse('two', 2000);
  expect(log).not.toContain('two pauses');
});

it('leaves who is refused unread at once when the loop does not even come to its ticks', () => {
  const { rest, log, refuse } = create();
  rest.tick(0);
  refuse('a', 90);
  refuse('b', 110);
  expect(log).toEqual(['b pauses']);
});
