const count = (value) => value.toLocaleString('en');
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
const inMs = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** What was answered, by status, and how long that took: for the last second, and in all. */
export class Figures {
  #begun = performance.now();
  #statuses = new Map();
  #good = [];
  #last = { statuses: new Map(), good: [], at: performance.now() };

  /** @param policy what the app's RateLimit-Policy header said */
  constructor(policy) {
    const [, requests, seconds] = /q=(\d+);w=(\d+)/.exec(policy) ?? [];
    this.limit = requests && { requests: Number(requests), seconds: Number(seconds) };
  }

  add(status, ms) {
    tally(this.#last.statuses, status, 1);
    if (status < 400) this.#last.good.push(ms);
  }

  /** @returns a line about what was answered since the last one, or nothing when that was less than a while ago */
  second(least = 500) {
    const { statuses, good, at } = this.#last;
    const now = performance.now();
    if (now - at < least) return undefined;
    for (const ms of good) this.#good.push(ms);
    let answers = 0;
    for (const [status, some] of statuses) {
      tally(this.#statuses, status, some);
      answers += some;
    }
    this.#last = { statuses: new Map(), good: [], at: now };
    const rate = Math.round(answers / ((now - at) / 1000));
    const elapsed = Math.round((now - this.#begun) / 1000);
    return [`${String(elapsed).padStart(4)} s`, `${count(rate)}/s`.padStart(11), times(good), told(statuses)].join(
      '  ',
    );
  }

  /** @param errors how many requests were not answered */
  summary(errors) {
    this.second(0);
    const seconds = (performance.now() - this.#begun) / 1000;
    const of = (status) => this.#statuses.get(status) ?? 0;
    const lines = [
      '',
      `Answered well: ${count(this.#good.length)}, ${count(Math.round(this.#good.length / seconds))}/s, ${times(this.#good)}`,
      `By status: ${told(this.#statuses) || 'nothing'}${errors ? `; not answered: ${count(errors)}` : ''}`,
    ];
    if (of(429) > 0 && this.limit)
      lines.push(
        `429: a caller may send ${count(this.limit.requests)} requests in ${this.limit.seconds} s, and this load comes from one address`,
        `and one user. To see what the process can do: RATE_LIMIT_REQUESTS=1000000000 npm start`,
      );
    if (of(503) > 0)
      lines.push('503: more arrived than the process can do; docs/limits.md says what it refuses first.');
    return lines.join('\n');
  }
}

const tally = (statuses, status, answers) => statuses.set(status, (statuses.get(status) ?? 0) + answers);

function times(all) {
  const sorted = Float64Array.from(all).sort();
  return `p50 ${inMs(quantile(sorted, 0.5)).padStart(7)}  p99 ${inMs(quantile(sorted, 0.99)).padStart(7)}`;
}

const told = (statuses) =>
  [...statuses]
    .sort(([a], [b]) => a - b)
    .map(([status, answers]) => `${status}: ${count(answers)}`)
    .join('  ');
