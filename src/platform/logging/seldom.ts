/** The log says at most once in this time that the same thing fails. */
const SILENT_MS = 60_000;

/** Says something, but not again for a minute: of an outage, one line is enough. */
export function seldom<Given>(say: (given: Given) => void): (given: Given) => void {
  let saidAt = Number.NEGATIVE_INFINITY;
  return (given) => {
    if (performance.now() - saidAt < SILENT_MS) return;
    saidAt = performance.now();
    say(given);
  };
}
