import { utilizationMeter } from '../overload/utilization.js';

const LOOK_MS = 1000;
const IDLE = 0.1;

/**
 * Of the heap after a start two thirds are what only the start needed. V8 would keep the room; in the first second in
 * which there is next to nothing to do it is given back, once: some 40 MiB, for a pause of 100 to 300 ms.
 * Does nothing where node was not started with --expose-gc.
 */
export function releaseMemoryWhenIdle(): void {
  if (!globalThis.gc) return;
  const utilization = utilizationMeter();
  const timer = setInterval(() => {
    if (utilization() > IDLE) return;
    clearInterval(timer);
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, LOOK_MS).unref();
}
