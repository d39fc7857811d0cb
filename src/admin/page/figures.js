// Makes figures per second of what /metrics counts since the start.

/** Requests of the page itself, and of what watches the app, are not what is watched. */
const WATCHING = /^\/(?:health|metrics|admin)(?:\/|$)/;
const DURATION = 'http_server_request_duration_seconds_bucket';

/** The samples of Prometheus text, by metric. */
function parse(text) {
  const metrics = {};
  for (const [, name, labels = '', value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    metrics[name] ??= [];
    metrics[name].push({
      labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, said]) => [key, said])),
      value: Number(value),
    });
  }
  return metrics;
}

/** What the figures were at a moment. */
export function snapshot(text) {
  const metrics = parse(text);
  const sum = (name, wanted = {}) =>
    (metrics[name] ?? [])
      .filter(({ labels }) => Object.entries(wanted).every(([key, value]) => labels[key] === value))
      .reduce((total, { value }) => total + value, 0);
  const by = (name, label) => (metrics[name] ?? []).map(({ labels, value }) => [labels[label], value]);
  return { at: performance.now(), series: seriesOf(metrics[DURATION] ?? []), sum, by };
}

/** The histograms of requests, by method, route, status and error, each with the class of its status. */
function seriesOf(samples) {
  const series = new Map();
  for (const { labels, value } of samples) {
    const { http_request_method: method, http_route: route = 'unknown', http_response_status_code: code, le } = labels;
    if (WATCHING.test(route)) continue;
    const key = `${method} ${route} ${code} ${labels.error_type}`;
    // A request that was cut off may have none.
    const status = code && `${code[0]}xx`;
    if (!series.has(key)) series.set(key, { name: `${method} ${route}`, status, bounds: [], counts: [] });
    series.get(key).bounds.push(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le));
    series.get(key).counts.push(value);
  }
  return series;
}

/** What happened between two moments, by series; undefined when what counts was started anew. */
function between(before, now) {
  const happened = [];
  for (const [key, { name, status, bounds, counts }] of now.series) {
    const known = before.series.get(key)?.counts ?? [];
    happened.push({ name, status, bounds, counts: counts.map((count, bucket) => count - (known[bucket] ?? 0)) });
  }
  const isAnew = [...before.series.keys()].some((key) => !now.series.has(key));
  return isAnew || happened.some(({ counts }) => counts.at(-1) < 0) ? undefined : happened;
}

const countOf = (series) => series.reduce((sum, { counts }) => sum + counts.at(-1), 0);

/** The time within which the share of the requests was answered, as Prometheus estimates it; null when there were none. */
function quantile(share, series) {
  const [{ bounds } = { bounds: [] }] = series;
  const counts = bounds.map((_, bucket) => series.reduce((sum, one) => sum + one.counts[bucket], 0));
  const rank = share * counts.at(-1);
  if (!rank) return null;
  const bucket = counts.findIndex((count) => count >= rank);
  const [low, below] = bucket > 0 ? [bounds[bucket - 1], counts[bucket - 1]] : [0, 0];
  if (bounds[bucket] === Number.POSITIVE_INFINITY) return low;
  return low + ((bounds[bucket] - low) * (rank - below)) / (counts[bucket] - below);
}

/** The figures of the time between two moments, by the names that charts know; undefined when there is nothing to compare. */
export function compare(before, now) {
  const happened = between(before, now);
  if (!happened) return undefined;
  const seconds = (now.at - before.at) / 1000;
  const rate = (name, wanted) => Math.max(0, now.sum(name, wanted) - before.sum(name, wanted)) / seconds;
  const ofClass = (status) => countOf(happened.filter((one) => one.status === status)) / seconds;
  const figures = {
    '2xx': ofClass('2xx'),
    '3xx': ofClass('3xx'),
    '4xx': ofClass('4xx'),
    '5xx': ofClass('5xx'),
    requests: countOf(happened) / seconds,
    p50: quantile(0.5, happened),
    p99: quantile(0.99, happened),
    limited: rate('ratelimit_refused_total'),
    full: rate('admission_refused_total', { reason: 'full' }),
    late: rate('admission_refused_total', { reason: 'late' }),
    hit: rate('cache_requests_total', { result: 'hit' }),
    stale: rate('cache_requests_total', { result: 'stale' }),
    miss: rate('cache_requests_total', { result: 'miss' }),
    inHand: now.sum('admission_in_flight'),
    queued: now.sum('admission_queued'),
    limit: now.sum('admission_limit'),
    used: now.sum('db_client_connection_count', { db_client_connection_state: 'used' }),
    waiting: now.sum('db_client_connection_pending_requests'),
    pool: now.sum('db_client_connection_max'),
    busy: now.sum('nodejs_eventloop_utilization'),
    memory: now.sum('process_resident_memory_bytes'),
  };
  const reads = figures.hit + figures.stale + figures.miss;
  return { ...figures, kept: reads > 0 ? 1 - figures.miss / reads : null };
}

/** The routes that were asked for between two moments, busiest first. */
export function routesBetween(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const routes = Object.groupBy(between(before, now) ?? [], ({ name }) => name);
  return Object.entries(routes)
    .map(([name, series]) => ({
      name,
      requests: countOf(series) / seconds,
      p50: quantile(0.5, series),
      p99: quantile(0.99, series),
      refused: countOf(series.filter(({ status }) => status === '4xx')) / seconds,
      failed: countOf(series.filter(({ status }) => status === '5xx')) / seconds,
    }))
    .filter(({ requests }) => requests > 0)
    .sort((one, other) => other.requests - one.requests);
}
