import { utilizationMeter } from '../overload/utilization.js';

const LOOK_MS = 1000;
const IDLE = 0.1;

/**
 * Gives memory back to the system once, in the first idle second after the start. Two thirds of the heap are garbage of the
 * start by then, and V8 would keep the space: 20 to 30 MiB, for a pause of 100 to 300 ms. Needs --expose-gc, and does nothing
 * without it.
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
