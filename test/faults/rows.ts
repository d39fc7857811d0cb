/** What Floodgate must survive: a fault or an input, and what must be seen. The number is the row's name everywhere. */
export const ROWS: Record<number, { fault: string; mustBe: string }> = {
  1: {
    fault: 'Redis killed under load',
    mustBe: 'no 5xx; p99 rises by at most 100 ms; reconnected within 5 s of its return',
  },
  2: { fault: 'Redis down at start', mustBe: 'starts, ready, `degraded`, a metric says so' },
  3: { fault: 'Redis stopped by SIGSTOP', mustBe: 'every call bounded by its time-out; breaker open; nothing hangs' },
  4: { fault: 'Redis 1 s slow', mustBe: 'breaker opens; p99 bounded' },
  5: { fault: 'Redis reset in mid-reply; out of memory with `noeviction`', mustBe: 'taken as a miss' },
  6: { fault: 'Redis emptied under load', mustBe: 'at most one query per key and replica' },
  7: { fault: 'a hot key expires with 10,000 readers', mustBe: 'one query per replica' },
  8: { fault: 'update on one replica, read on another', mustBe: 'fresh within 1 s; also when the message was lost' },
  9: { fault: 'a slow fill races an update', mustBe: 'the old value never lands' },
  10: {
    fault: 'PostgreSQL killed (-9) under writes, restarted',
    mustBe: 'every 2xx is there; serving again within 10 s of its return',
  },
  11: {
    fault: 'PostgreSQL stopped',
    mustBe:
      '503 with Retry-After within the acquire time-out; live 200; ready 200 `degraded` on all replicas; cached public reads go on, marked stale, also on connections opened meanwhile',
  },
  12: { fault: 'all backends terminated', mustBe: 'no crash; broken clients leave the pool' },
  13: { fault: 'a query that sleeps', mustBe: 'cancelled by the statement time-out; the connection is usable' },
  14: { fault: 'a lock held on a row', mustBe: '503 (or 409) at the lock time-out' },
  15: { fault: 'deadlock, serialization failure', mustBe: 'bounded retry; one effect' },
  16: { fault: 'pool exhausted', mustBe: 'waiters fail at their time-out; health answers' },
  17: { fault: 'PostgreSQL black-holed (packets dropped)', mustBe: 'bounded by the client-side time-out' },
  18: { fault: 'database read-only or its disk full', mustBe: '503 for writes, reads go on, no false 2xx' },
  19: {
    fault: 'connection cut after COMMIT, before the answer; retried with the same Idempotency-Key',
    mustBe: 'one row, the same answer',
  },
  20: { fault: '50 at once with one Idempotency-Key', mustBe: 'one effect; the rest 409 or replay' },
  21: { fault: '100 PATCHes at once with one entity tag', mustBe: 'one 2xx, 99 × 412' },
  22: { fault: '100 registrations at once of one email', mustBe: 'one 201, 99 × 409' },
  23: { fault: 'one refresh token used many times at once', mustBe: 'one live lineage; late reuse revokes the family' },
  24: { fault: 'rolling restart under keep-alive load, two replicas behind nginx', mustBe: 'no failed request' },
  25: { fault: 'one worker killed (-9)', mustBe: 'only what it had in hand fails; a new one serves within 2 s' },
  26: {
    fault: 'load at 2× and 10× of capacity',
    mustBe:
      'goodput ≥ 95 % and ≥ 80 % of peak; p99 of what is admitted ≤ 2× normal; refusals p99 < 20 ms; normal within 10 s; memory bounded',
  },
  27: { fault: '10,000 callers who hang up in mid-request', mustBe: 'no connection, cursor or slot leaks' },
  28: {
    fault: 'slowloris, 5,000 sockets, headers and bodies',
    mustBe: '408 or closed at the limit; others unaffected',
  },
  29: { fault: 'body over the limit, false Content-Length, gzip bomb', mustBe: '413 or 400; memory flat' },
  30: { fault: 'JSON nested 100,000 deep', mustBe: '400' },
  31: { fault: '`__proto__`, `constructor.prototype`', mustBe: '400; `Object.prototype` unchanged' },
  32: { fault: '64 KiB of headers; 2,000 query parameters', mustBe: '431; 400' },
  33: { fault: 'NUL in any string, path, query, cursor', mustBe: '400' },
  34: { fault: 'broken UTF-8, lone surrogates', mustBe: '400, or the exact bytes back' },
  35: { fault: "50 KB of text made against every validated field's pattern", mustBe: 'the event loop blocked < 50 ms' },
  36: { fault: 'a password of 1 MB', mustBe: '400 before hashing' },
  37: { fault: 'login of known and unknown users, 300 each', mustBe: 'medians within 5 %' },
  38: { fault: '`alg: none`, HS256 signed with the public key, wrong aud, iss, typ, kid, expired', mustBe: '401' },
  39: { fault: 'forged X-Forwarded-For; addresses rotated in one /64', mustBe: 'one bucket' },
  40: { fault: 'a clock 5 min off', mustBe: "exp and nbf within their skew; exact limits use Redis' time" },
  41: { fault: 'Content-Type odd in case, with tabs, with a bare `;`', mustBe: 'checked as JSON, or 415' },
  42: { fault: 'a changed or foreign cursor; inserts while paging', mustBe: '400; no row twice or skipped' },
  43: { fault: 'bulk with a bad line, a cut-off line, a too long one', mustBe: 'errors by line; the good ones in' },
  44: {
    fault: 'Content-Length with Transfer-Encoding, doubled parameters, `limit=-1`, integers past 2^53',
    mustBe: '400',
  },
  45: { fault: '10 min of mixed load', mustBe: 'heap slope about 0; descriptors constant' },
  46: {
    fault: 'one caller guesses ids, collections and users of another',
    mustBe: `404 or 403, and never a different timing or text for "exists" (the contract's two exceptions aside)`,
  },
  47: {
    fault: 'a burst over a rate limit through two replicas',
    mustBe: 'admitted within the stated overshoot; 429 with a Retry-After that is true',
  },
  48: {
    fault: 'settings missing, misspelt, out of range, default secrets in production',
    mustBe: 'does not start; one line per mistake',
  },
  49: {
    fault: 'this replica alone is cut off from PostgreSQL',
    mustBe: 'ready 503 on it within 5 s, 200 on the others; back by itself',
  },
  50: {
    fault: 'failover: the old primary lives on as a standby under open connections, the name leads to the new one',
    mustBe:
      'writes succeed again within 10 s of the change of the name, without a restart; nothing acknowledged is lost',
  },
  51: {
    fault: 'a database whose DateStyle, TimeZone, IntervalStyle, isolation, collation and search_path are odd',
    mustBe: 'every answer is the same as on a plain one',
  },
  52: {
    fault: 'Redis Sentinel fails over; a Redis Cluster moves slots, or loses a primary',
    mustBe: 'no 5xx, nothing acknowledged is lost, and changes are seen as promised; Redis is used again without help',
  },
  53: {
    fault: '2,000 replicas on one Redis',
    mustBe: 'its load is linear in replicas; an update is seen everywhere within 1 s',
  },
  54: {
    fault: 'listeners of a change feed come back',
    mustBe:
      'each sees every acknowledged change once or more, those of a record in the order of their commits, and none that it may not see',
  },
  55: {
    fault: 'readers who take nothing of large answers',
    mustBe:
      "the process lives within 256 MiB under the image's flags; what is owed is bounded; others' p99 ≤ 2× normal; normal within 10 s",
  },
  56: {
    fault: 'callers who reset at every step of every kind of request, admission full and empty',
    mustBe: 'every account (places, bytes, slots, connections) is back at zero',
  },
  57: {
    fault: 'strangers with junk tokens, half bodies and `Expect: 100-continue`, beside signed-in users who send slowly',
    mustBe: 'refused by their head alone; none of the signed-in is refused',
  },
  58: {
    fault:
      "a webhook's receiver answers 500 for an hour, hangs, resets, drips, floods, or redirects to 169.254.169.254",
    mustBe: 'every change is delivered once or more, in order; each attempt is bounded; no redirect is followed',
  },
  59: {
    fault: "a webhook's URL that leads to a private address, in any form or by a name",
    mustBe: 'refused when it is made, or when it is connected to; nothing arrives there',
  },
  60: {
    fault: 'a worker is killed (-9) while it delivers to webhooks',
    mustBe: 'every change is delivered once or more, those of a record in order, by another worker within 40 s',
  },
  63: {
    fault: 'listeners of a change feed that never read',
    mustBe: 'memory bounded; a listener that reads misses nothing; others are answered',
  },
};
