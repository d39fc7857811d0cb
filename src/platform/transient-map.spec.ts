import { TransientMap } from './transient-map.js';

it('keeps what is in it, in order, however often its Map is made anew', () => {
  const map = new TransientMap<number, string>();
  const like = new Map<number, string>();
  for (let key = 0; key < 5000; key++) {
    map.set(key, `${key}`);
    like.set(key, `${key}`);
    // Some stay for good, most for a while.
    const left = key - 64;
    if (left % 100 === 0) continue;
    map.delete(left);
    like.delete(left);
    expect(map.get(left)).toBeUndefined();
  }
  expect([...map.keys()]).toEqual([...like.keys()]);
  for (const [key, value] of like) expect(map.get(key)).toBe(value);
  map.clear();
  expect([...map.keys()]).toEqual([]);
});
