import { TransientMap } from './transient-map.js';

it('keeps its entries in order, however often its Map is replaced', () => {
  const map = new TransientMap<number, string>();
  const like = new Map<number, string>();
  for (let key = 0; key < 5000; key++) {
    map.set(key, `${key}`);
    like.set(key, `${key}`);
    // Some entries stay, most are deleted again.
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
