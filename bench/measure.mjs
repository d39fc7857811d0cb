// Plays one scenario: alternates between the contestants in short slices, and compares each with the yardstick beside it.
import { watchForeign } from './machine.mjs';
import { emptyLogs } from './servers.mjs';

/** A scenario that this machine, or this build, cannot play; the message says why. */
export class Skipped extends Error {}

/** Above this share of all cores, used by others, a slice is taken again. */
export const FOREIGN_LIMIT = 0.05;

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/**
 * @param scenario { name, yardstick, metrics: [{ name, value, unit, must, goal, like, isLowerBetter }], prepare }: `like` is the
 * name of another metric, against whose ratio this one is held
 * @param options { rounds, seconds, retries }: retries of a slice that others disturbed
 * @returns one row per metric and contestant
 */
export async function play(scenario, stage, options) {
  const { contestants, before, after } = await scenario.prepare(stage, options);
  const taken = new Map(contestants.map(({ name }) => [name, []]));
  try {
    for (const contestant of contestants) await contestant.warm?.();
    for (let round = 0; round < (scenario.rounds ?? options.rounds); round++) {
      for (const { name, take } of round % 2 ? contestants.toReversed() : contestants) {
        taken.get(name).push(await quietly(take, before, options.retries));
      }
    }
  } finally {
    await after?.();
  }
  return scenario.metrics.flatMap((metric) => rowsOf(scenario, metric, taken));
}

/** @returns the slice in which others used the least */
async function quietly(take, before, retries) {
  let best;
  let errors = 0;
  for (let attempt = 0; attempt <= retries; attempt++) {
    emptyLogs();
    await before?.();
    const foreign = watchForeign();
    const result = { ...(await take()), foreign: foreign() };
    errors += result.errors;
    if (!best || result.foreign < best.foreign) best = result;
    if (best.foreign <= FOREIGN_LIMIT) break;
  }
  return { ...best, errors };
}

/** Ratios are made in each round, of neighbours, so that what is slow for a minute is slow for both. */
function rowsOf(scenario, { name, value, unit, must, goal, like, isLowerBetter = false }, taken) {
  const yardstick = taken.get(scenario.yardstick);
  return [...taken].map(([contestant, slices]) => {
    const ratios = slices.map((result, round) => result[value] / yardstick[round][value]);
    const ratio = median(ratios);
    const reaches = (target) => target !== undefined && (isLowerBetter ? ratio <= target : ratio >= target);
    const isOurs = contestant === (scenario.ours ?? 'floodgate');
    return {
      scenario: name,
      contestant,
      yardstick: scenario.yardstick,
      isOurs,
      isLowerBetter,
      unit,
      value: median(slices.map((result) => result[value])),
      ratio,
      spread: [Math.min(...ratios), Math.max(...ratios)],
      p99: value === 'rps' ? median(slices.map(({ p99 }) => p99)) : undefined,
      errors: slices.reduce((sum, { errors }) => sum + errors, 0),
      foreign: Math.max(...slices.map(({ foreign }) => foreign)),
      ...(isOurs && must !== undefined
        ? { must, goal, like, mark: reaches(goal) ? 'goal' : reaches(must) ? 'reached' : 'missed' }
        : {}),
    };
  });
}
