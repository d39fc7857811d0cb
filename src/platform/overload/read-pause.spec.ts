import { ReadPause } from './read-pause.js';

/** A pause with a utilization that the test sets, and a log of what happens to its connections. */
function create() {
  const loop = { busy: 1 };
  const readPause = new ReadPause(() => loop.busy);
  const log: string[] = [];
  const refuse = (name: string, now: number) => {
    const socket = { pause: () => log.push(`${name} pauses`), resume: () => log.push(`${name} resumes`) };
    readPause.refuse({ closed: false, socket, once: (_event, listener) => listener() }, now);
  };
  return { loop, readPause, log, refuse };
}

it('pauses no connection until the process does little but refuse', () => {
  const { loop, readPause, log, refuse } = create();
  loop.busy = 0.8;
  refuse('a', 0);
  readPause.tick(50);
  refuse('b', 60);
  loop.busy = 1;
  readPause.answer();
  readPause.tick(100);
  refuse('c', 110);
  expect(log).toEqual([]);
});

it('pauses refused connections for a while from then on', () => {
  const { readPause, log, refuse } = create();
  refuse('a', 0);
  readPause.tick(50);
  refuse('b', 60);
  expect(log).toEqual(['b pauses']);
  readPause.answer();
  readPause.tick(100);
  expect(log).toEqual(['b pauses', 'b resumes']);
});

it('pauses connections longer the longer the overload lasts, up to a second', () => {
  const { readPause, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    refuse('other', now);
    readPause.tick(now);
  }
  log.length = 0;
  refuse('last', 1000);
  for (let now = 1050; now < 2000; now += 50) {
    refuse('other', now);
    readPause.tick(now);
  }
  expect(log).not.toContain('last resumes');
  refuse('other', 2000);
  readPause.tick(2000);
  expect(log).toContain('last resumes');
});

it('resumes all connections when the overload is over', () => {
  const { loop, readPause, log, refuse } = create();
  for (let now = 0; now < 1000; now += 50) {
    refuse('one', now);
    readPause.tick(now);
  }
  loop.busy = 0.5;
  for (let now = 1000; now < 2000; now += 50) readPause.tick(now);
  const count = (what: string) => log.filter((line) => line === what).length;
  expect(count('one pauses')).toBe(19);
  expect(count('one resumes')).toBe(19);
  refuse('two', 2000);
  expect(log).not.toContain('two pauses');
});

it('pauses refused connections at once when a tick is late', () => {
  const { readPause, log, refuse } = create();
  readPause.tick(0);
  refuse('a', 90);
  refuse('b', 110);
  expect(log).toEqual(['b pauses']);
});
