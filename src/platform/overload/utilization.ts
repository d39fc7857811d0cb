import { performance } from 'node:perf_hooks';

/** @returns a function that gives the event loop's busy share since its last call, 0 to 1 */
export function utilizationMeter(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
