import fc from 'fast-check';
import { Admission, type Leave, type Priority, TICK_MS } from './admission.js';

type Step =
  | { do: 'enter'; priority: Priority }
  | { do: 'leave' | 'cancel'; which: number }
  | { do: 'pass'; ms: number };

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('enter' as const),
        priority: fc.constantFrom<Priority>('write', 'login', 'read', 'bulk'),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'cancel' as const), which: fc.nat(200) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(300) }) },
  ),
  { maxLength: 400 },
);

it('starts, refuses or forgets each request once, never exceeds the limit, and queues nothing while there is room', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 12 }), (all: Step[], initial) => {
      const clock = { now: 0 };
      const options = { min: 1, max: 40, initial, waitMs: 500 };
      const admission = new Admission(options, () => clock.now);
      admission.close();
      const fates: string[] = [];
      const priorities: Priority[] = [];
      const leaves = new Map<number, Leave>();
      const waiting: ReturnType<Admission['enter']>[] = [];
      const inHand: Record<Priority, number> = { write: 0, login: 0, read: 0, bulk: 0, listen: 0 };
      const total = () => Object.values(inHand).reduce((sum, one) => sum + one, 0);
      const part = (of: number) => Math.max(1, Math.floor(admission.limit * of));
      const together: Record<Priority, Priority[]> = {
        write: ['write', 'read'],
        read: ['write', 'read'],
        login: ['login'],
        bulk: ['bulk'],
        listen: ['listen'],
      };
      const hasRoom = (priority: Priority) =>
        together[priority].reduce((sum, one) => sum + inHand[one], 0) <
        part({ write: 1, login: 0.5, read: 0.9, bulk: 0.25, listen: 0.25 }[priority]);
      const enter = (priority: Priority) => {
        const at = fates.push('') - 1;
        priorities.push(priority);
        const start = (leave: Leave) => {
          fates[at] += 'started';
          expect(hasRoom(priority)).toBe(true);
          inHand[priority]++;
          leaves.set(at, () => {
            // A second call changes nothing.
            if (leaves.delete(at)) inHand[priority]--;
            leave();
            leave();
          });
        };
        waiting[at] = admission.enter(priority, start, () => {
          fates[at] += 'refused';
        });
        if (waiting[at]) expect(fates[at]).toBe('');
      };
      const cancel = (at: number) => {
        waiting[at]?.cancel();
        if (fates[at] === '') fates[at] = 'cancelled';
      };
      const pass = (ms: number) => {
        clock.now += ms;
        admission.tick();
      };
      for (const step of all) {
        if (step.do === 'enter') enter(step.priority);
        else if (step.do === 'pass') pass(step.ms);
        else if (step.do === 'leave') leaves.get(step.which % (fates.length + 1))?.();
        else if (fates.length > 0) cancel(step.which % fates.length);
        expect(admission.inFlight).toBe(total());
        const waitingNow = priorities.filter((_, at) => fates[at] === '');
        expect(admission.queued).toBe(waitingNow.length);
        expect(waitingNow.filter(hasRoom)).toEqual([]);
      }
      for (let round = 0; leaves.size > 0 || admission.queued > 0; round++) {
        expect(round).toBeLessThan(1000);
        for (const leave of [...leaves.values()]) leave();
        pass(TICK_MS);
      }
      expect(new Set(fates)).toEqual(new Set(fates.filter((fate) => /^(started|refused|cancelled)$/.test(fate))));
      expect(admission.inFlight).toBe(0);
    }),
    { numRuns: 300 },
  );
});
