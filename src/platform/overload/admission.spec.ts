import { Admission, type AdmissionOptions, type Leave, type Priority, TICK_MS } from './admission.js';

/** An admission with a clock that the test moves, and a log of its events. */
function create(options: Partial<AdmissionOptions> = {}) {
  const clock = { now: 0 };
  const admission = new Admission({ min: 10, max: 10, initial: 10, waitMs: 500, ...options }, () => clock.now);
  admission.close();
  const log: string[] = [];
  const leaves = new Map<string, Leave>();
  const enter = (priority: Priority, name: string) =>
    admission.enter(
      priority,
      (leave) => {
        log.push(`${name} started`);
        leaves.set(name, leave);
      },
      () => log.push(`${name} refused`),
    );
  const fill = (priority: Priority, count: number) => {
    for (let at = 0; at < count; at++) enter(priority, `${priority} ${at}`);
  };
  const pass = (ms: number) => {
    for (const end = clock.now + ms; clock.now < end; ) {
      clock.now += TICK_MS;
      admission.tick();
    }
  };
  const leave = (name: string) => leaves.get(name)?.();
  return { admission, clock, log, enter, fill, leave, pass };
}

it('starts requests at once while there is room, and starts the next one when one leaves', () => {
  const { admission, enter, fill, leave, log } = create();
  fill('write', 10);
  expect(admission.inFlight).toBe(10);
  expect(enter('write', 'late')).toBeDefined();
  expect(log).not.toContain('late started');
  leave('write 3');
  expect(log.at(-1)).toBe('late started');
  expect(admission.inFlight).toBe(10);
  expect(admission.queued).toBe(0);
});

it('starts queued requests when the limit grows', () => {
  const { admission, fill, leave, pass } = create({ max: 20, waitMs: 1000 });
  fill('write', 15);
  for (let at = 5; at < 10; at++) leave(`write ${at}`);
  fill('write', 5);
  expect([admission.inFlight, admission.queued]).toEqual([10, 5]);
  pass(10 * TICK_MS);
  expect(admission.limit).toBeGreaterThan(10);
  expect(admission.inFlight).toBe(admission.limit);
  expect(admission.queued).toBe(15 - admission.limit);
});

it.each([
  ['write', 10],
  ['login', 5],
  ['read', 9],
  ['bulk', 2],
] as const)('gives %s alone %d of 10 places', (priority, places) => {
  const { admission, fill } = create();
  fill(priority, 11);
  expect(admission.inFlight).toBe(places);
});

it('keeps the last places for writes and logins', () => {
  const { enter, fill, log } = create();
  fill('read', 9);
  enter('bulk', 'bulk');
  enter('read', 'read');
  enter('write', 'write');
  expect(log).not.toContain('read started');
  expect(log.at(-1)).toBe('write started');
});

it('gives slow senders and logins none of the places of reads and writes', () => {
  const { enter, fill, log } = create();
  fill('bulk', 30);
  fill('login', 30);
  log.length = 0;
  fill('read', 9);
  enter('write', 'write');
  expect(log).toHaveLength(10);
  expect(log.every((line) => line.endsWith('started'))).toBe(true);
});

it('starts queued writes before queued reads, each in the order of arrival', () => {
  const { enter, fill, leave, log } = create();
  fill('write', 10);
  for (const name of ['read', 'write'] as const) {
    enter(name, `first ${name}`);
    enter(name, `second ${name}`);
  }
  log.length = 0;
  for (let at = 0; at < 10; at++) leave(`write ${at}`);
  expect(log).toEqual(['write', 'read'].flatMap((name) => [`first ${name} started`, `second ${name} started`]));
});

it('refuses at once when the queue is full, whose last places are kept for writes', () => {
  const { admission, enter, fill, log } = create();
  fill('write', 10);
  log.length = 0;
  fill('read', 30);
  // The queue is half as long as the limit; reads get 4 of these 5 places.
  expect(admission.queued).toBe(4);
  expect(log).toHaveLength(26);
  expect(admission.refused('read')).toEqual({ full: 26, late: 0 });
  expect(enter('write', 'write')).toBeDefined();
  expect(enter('write', 'one too many')).toBeUndefined();
  expect(admission.refused('write')).toEqual({ full: 1, late: 0 });
});

it('halves the queue once requests are refused, until none is refused for a while', () => {
  const { admission, fill, leave, pass } = create({ waitMs: 60_000 });
  fill('write', 16);
  expect([admission.queued, admission.refused('write').full]).toEqual([5, 1]);
  pass(10 * TICK_MS);
  for (let at = 0; at < 5; at++) leave(`write ${at}`);
  expect(admission.queued).toBe(0);
  fill('write', 5);
  expect([admission.queued, admission.refused('write').full]).toEqual([2, 4]);
  pass(20 * TICK_MS);
  fill('write', 5);
  expect([admission.queued, admission.refused('write').full]).toEqual([5, 6]);
});

it('refuses a request that has waited until the deadline', () => {
  const { admission, enter, fill, log, pass } = create();
  fill('write', 10);
  enter('read', 'late');
  pass(450);
  expect(log).not.toContain('late refused');
  pass(TICK_MS);
  expect(log.at(-1)).toBe('late refused');
  expect(admission.refused('read')).toEqual({ full: 0, late: 1 });
  expect(admission.queued).toBe(0);
});

it('forgets a queued request whose caller hangs up', () => {
  const { admission, enter, fill, leave, log, pass } = create();
  fill('write', 10);
  for (let at = 0; at < 10_000; at++) enter('read', 'gone')?.cancel();
  expect(admission.queued).toBe(0);
  enter('read', 'here');
  leave('write 0');
  leave('write 1');
  pass(1000);
  expect(log.at(-1)).toBe('here started');
  expect(log.some((line) => line.startsWith('gone'))).toBe(false);
  expect(admission.refused('read')).toEqual({ full: 0, late: 0 });
});

it('ignores the cancellation of a request that was started', () => {
  const { admission, enter, fill, leave } = create();
  fill('write', 10);
  const waiting = enter('write', 'late');
  leave('write 0');
  waiting?.cancel();
  expect(admission.inFlight).toBe(10);
  leave('late');
  expect(admission.inFlight).toBe(9);
});

it('starts a long queue of requests that end within their start', () => {
  const { admission, fill, leave } = create({ initial: 20_000, max: 20_000 });
  fill('write', 20_000);
  let ended = 0;
  const start = (done: Leave) => {
    ended++;
    done();
  };
  for (let at = 0; at < 10_000; at++) admission.enter('write', start, () => {});
  expect(admission.queued).toBe(10_000);
  leave('write 0');
  expect(ended).toBe(10_000);
  expect(admission.inFlight).toBe(19_999);
});

it('does not count the time of logins and bulk uploads as latency', () => {
  const { admission, enter, leave, pass } = create({ min: 10, max: 100, initial: 50 });
  for (let round = 0; round < 20; round++) {
    for (let at = 0; at < 20; at++) enter(at < 10 ? 'bulk' : 'login', `${at}`);
    pass(1000);
    for (let at = 20; at < 45; at++) enter('read', `${at}`);
    for (let at = 0; at < 45; at++) leave(`${at}`);
    pass(TICK_MS);
  }
  expect(admission.limit).toBeGreaterThanOrEqual(50);
});
