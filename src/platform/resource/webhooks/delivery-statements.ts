import type { Role } from '../../http/caller.js';

/** A webhook as it is delivered to. */
export interface Loaded {
  id: string;
  of: string;
  /** Of the rows whose changes it gets; null for all. */
  scope: string | null;
  url: string;
  ordered: boolean;
  state: 'on' | 'failing' | 'off';
  position: string;
  waiting: number;
  /** Of the secrets to sign with. */
  seeds: string[];
  isDue: boolean;
  ownerId: string;
  role: Role;
  /** Its owner is disabled. */
  isPaused: boolean;
}

export interface Due {
  id: string;
  isDue: boolean;
  age: number;
}

export const ANY = `SELECT 1 FROM webhooks WHERE state <> 'off' LIMIT 1`;

/** $1: its id. Nothing is delivered for an owner who is disabled. */
export const LOAD = `
  SELECT w.id, w.of, w.scope, w.owner_id AS "ownerId", u.role, w.url, w.ordered, w.state, w.position, w.waiting,
    array_remove(ARRAY[w.seed, CASE WHEN w.rotated_at > now() - interval '24 hours' THEN w.old_seed END], NULL) AS seeds,
    w.state <> 'off' AND NOT u.disabled AND w.retry_at <= now() AS "isDue", u.disabled AS "isPaused"
  FROM webhooks w JOIN users u ON u.id = w.owner_id WHERE w.id = $1`;

/**
 * $1: its id; $2: its new position; $3: how many events wait on their own; $4: why; $5: the position from which it was read,
 * since a worker that was taken for lost may have been overtaken. The version counts what is shown.
 */
export const MOVE = `
  UPDATE webhooks SET position = $2, waiting = waiting + $3, failures = 0, retry_at = '-infinity',
    since = CASE state WHEN 'on' THEN since ELSE now() END, state = 'on', last_error = coalesce($4, last_error),
    version = version + (state <> 'on' OR $4 IS DISTINCT FROM last_error AND $4 IS NOT NULL)::int
  WHERE id = $1 AND state <> 'off' AND position = $5 RETURNING 1`;

/**
 * $1: its id; $2: why; $3: whether it is switched off at once. The pauses double from 5 s up to 10 min with jitter, or up to 1 min where others wait behind one that
 * fails.
 */
export const FAIL = `
  UPDATE webhooks w SET state = n.state, since = CASE w.state WHEN n.state THEN since ELSE now() END,
    failures = failures + 1, last_error = $2,
    retry_at = now() + least(CASE WHEN ordered THEN 600 ELSE 60 END, 5 * 2 ^ least(failures, 10)) * (0.5 + random() / 2) * interval '1 s',
    version = version + (w.state <> n.state OR last_error IS DISTINCT FROM $2)::int
  FROM (SELECT id, CASE WHEN $3 OR state = 'failing' AND since < now() - interval '24 hours' THEN 'off'
    ELSE 'failing' END AS state FROM webhooks WHERE id = $1) AS n
  WHERE w.id = n.id AND w.state <> 'off'`;

export const END_WAITING = `UPDATE webhooks SET waiting = greatest(waiting - 1, 0) WHERE id = $1`;

const isUnread = (tick: string) =>
  `c.xid >= pg_snapshot_xmin(${tick}.snapshot) AND NOT pg_visible_in_snapshot(c.xid, ${tick}.snapshot)`;
const unreadOf = (rows: string) => `EXISTS (SELECT FROM changes c WHERE c.of = w.of${rows} AND ${isUnread('t')})`;
const IS_BEHIND = `
  CASE WHEN w.scope IS NULL THEN ${unreadOf('')} ELSE ${unreadOf(' AND (c.scope = w.scope OR c.scope IS NULL)')} END`;
const TICK_OF = `split_part(w.position, '-', 1)::bigint`;

/**
 * Those with changes that are not delivered. $1: the tick since which there is one, beside those that fail; null for all;
 * $2: the tables of which webhooks are known.
 */
export const DUE = `
  WITH changed AS MATERIALIZED (
    SELECT DISTINCT c.of, c.scope FROM change_ticks s, changes c WHERE s.tick = $1 AND ${isUnread('s')}),
  candidates AS (
    SELECT id FROM webhooks WHERE $1::bigint IS NULL
    UNION SELECT id FROM webhooks WHERE state = 'failing'
    UNION SELECT w.id FROM changed JOIN webhooks w USING (of, scope)
    UNION SELECT w.id FROM changed JOIN webhooks w USING (of) WHERE w.scope IS NULL
    UNION SELECT w.id FROM changed JOIN webhooks w USING (of) WHERE changed.scope IS NULL)
  SELECT w.id, w.retry_at <= now() AS "isDue", coalesce(extract(epoch FROM now() - (
    SELECT n.at FROM change_ticks n WHERE n.tick > ${TICK_OF} ORDER BY n.tick LIMIT 1)), 0)::float8 AS age
  FROM candidates JOIN webhooks w USING (id) JOIN users u ON u.id = w.owner_id AND NOT u.disabled
    LEFT JOIN change_ticks t ON t.tick = ${TICK_OF}
  WHERE w.state <> 'off' AND w.of = ANY ($2) AND (t.tick IS NULL OR ${IS_BEHIND})`;

/**
 * Moves those that nothing happens to. $1: a tick; $2: how old a position may be at most, in seconds. Those of all rows of a
 * table look through the changes of all tables since theirs.
 */
export const GO_ON = `
  UPDATE webhooks w SET position = $1 FROM change_ticks t
  WHERE w.state <> 'off' AND t.tick = ${TICK_OF} AND w.position <> $1
    AND t.at < now() - make_interval(secs => least(CASE WHEN w.scope IS NULL THEN 60 ELSE 600 END, $2))
    AND NOT ${IS_BEHIND}`;
