import { setImmediate } from 'node:timers/promises';
import { FairQueue } from './fair-queue.js';

/** A queue whose work ends when a test says so, and the fate of each piece of work: begun, or refused. */
function queue(atOnce: number, room: number) {
  const one = new FairQueue<'a' | 'b' | 'c'>(atOnce, room, () => new Error('full'));
  const begun: string[] = [];
  const refused: string[] = [];
  const ends: (() => void)[] = [];
  let failures = 0;
  return {
    one,
    begun,
    refused,
    come(kind: 'a' | 'b' | 'c', key: string, times = 1): void {
      for (let i = 0; i < times; i++) {
        const work = () => {
          begun.push(`${kind}${key}`);
          return new Promise<void>((resolve) => ends.push(resolve));
        };
        one.run(kind, key, work).catch((error: Error) => {
          failures++;
          expect(error.message).toBe('full');
          refused.push(`${kind}${key}`);
        });
      }
    },
    async end(times = 1): Promise<void> {
      for (let i = 0; i < times; i++) {
        await setImmediate();
        ends.shift()?.();
        await setImmediate();
      }
    },
    get failures() {
      return failures;
    },
  };
}

it('bounds concurrency, and in the end runs all waiting work', async () => {
  const all = queue(2, 5);
  all.come('a', '1', 7);
  expect([all.begun.length, all.one.size]).toEqual([2, 7]);
  await all.end(7);
  expect([all.begun.length, all.refused.length, all.one.size]).toEqual([7, 0, 0]);
});

it('alternates between kinds, and within a kind between keys, however long the queues are', async () => {
  const all = queue(1, 100);
  all.come('a', '1', 6);
  all.come('a', '2', 2);
  all.come('b', '1', 2);
  all.come('c', '9');
  await all.end(11);
  expect(all.begun.join(' ')).toBe('a1 a1 b1 c9 a2 b1 a1 a2 a1 a1 a1');
});

it('lets one key use all the room while no other needs it, and gives others their share as soon as they come', async () => {
  const all = queue(1, 8);
  all.come('a', '1', 20);
  await setImmediate();
  expect([all.one.size, all.refused]).toEqual([9, Array(11).fill('a1')]);
  all.come('b', '1', 4);
  all.come('a', '2');
  await setImmediate();
  expect(all.refused.slice(11)).toEqual(Array(5).fill('a1'));
  await all.end(9);
  expect(all.begun.join(' ')).toBe('a1 a1 b1 a2 b1 a1 b1 a1 b1');
});

it('refuses work of a kind that has used up its share, rather than of another kind', async () => {
  const all = queue(1, 4);
  all.come('b', '0');
  all.come('a', '1', 2);
  all.come('b', '1', 2);
  for (let key = 2; key < 50; key++) all.come('a', String(key));
  await setImmediate();
  // Among equally long queues, new work is refused instead of displacing waiting work.
  expect(all.refused).toContain('a3');
  await all.end(5);
  expect(all.begun.filter((one) => one.startsWith('b')).length).toBe(3);
  expect(all.begun.length).toBe(5);
});

it('continues after work that fails', async () => {
  const one = new FairQueue(1, 1, () => new Error('full'));
  const failing = one.run('a', '1', () => Promise.reject(new Error('of the work')));
  const behind = one.run('a', '1', async () => 'done');
  await expect(failing).rejects.toThrow('of the work');
  expect([await behind, one.size]).toEqual(['done', 0]);
});
