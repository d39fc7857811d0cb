import fc from 'fast-check';
import { FAULTS, type Fault, type FaultName } from './faults.js';

/** A fault with its start and duration in milliseconds, its place, and its degree from 0 to 1. */
export interface Planned {
  at: number;
  forMs: number;
  fault: FaultName;
  where: 'here' | 'there' | 'both';
  degree: number;
}

/** One fault is drawn for each interval of this length; those that would overlap on their ground are left out. */
const EVERY_MS = 1000;
/** A ground rests this long after a fault, so that it recovers before the next one. */
const REST_MS = 1500;

/** The faults of a storm. The same seed and length always give the same faults. */
export function plan(seed: number, lengthMs: number): Planned[] {
  const names = Object.keys(FAULTS) as FaultName[];
  const part = fc.integer({ min: 0, max: 100 }).map((hundredths) => hundredths / 100);
  const one = fc.record({
    at: fc.integer({ min: 0, max: lengthMs }),
    fault: fc.constantFrom(...names),
    where: fc.constantFrom('here', 'there', 'both'),
    length: part,
    degree: part,
  });
  const count = Math.floor(lengthMs / EVERY_MS);
  const drawn = fc.sample(fc.noBias(fc.array(one, { minLength: count, maxLength: count })), { seed, numRuns: 1 })[0];
  const free = new Map<string, number>();
  const planned: Planned[] = [];
  for (const { at, fault, where, length, degree } of (drawn ?? []).sort((a, b) => a.at - b.at)) {
    const { ground, lastsMs } = FAULTS[fault];
    const [least, most] = lastsMs;
    const forMs = Math.round(least + (most - least) * length);
    if (at + forMs > lengthMs || at < (free.get(ground) ?? 0)) continue;
    free.set(ground, at + forMs + REST_MS);
    planned.push({ at, forMs, fault, where, degree });
  }
  return planned;
}

/** For people: '12.3 s: Redis frozen, for 2.1 s'. */
export function describePlan(planned: Planned[]): string {
  const line = ({ at, forMs, fault, where, degree }: Planned) => {
    const one: Fault = FAULTS[fault];
    const place = one.isSomewhere ? ` ${one.ground === 'process' && where === 'both' ? 'here' : where}` : '';
    const time = forMs > 0 ? ` for ${(forMs / 1000).toFixed(1)} s` : '';
    return `${(at / 1000).toFixed(1).padStart(6)} s: ${fault}${place}${time} (${degree.toFixed(2)})`;
  };
  return planned.map(line).join('\n');
}
