/** Bounds an LRUCache to so many entries. Its own `max` would take the room for all of them at start, and 150 ms. */
export const entries = (count: number) => ({ maxSize: count, sizeCalculation: () => 1 });
