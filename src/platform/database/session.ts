/**
 * Settings of every connection, so that no answer depends on defaults of the server, database or role. PgBouncer tracks
 * these, and applies them to whichever server connection it lends.
 */
const TRACKED = { DateStyle: 'ISO', TimeZone: 'UTC', standard_conforming_strings: 'on' };

/** PgBouncer must ignore these (ignore_startup_parameters). 0 is no time-out, which pg's options cannot express. */
const OPTIONS = {
  search_path: '"$user",public',
  default_transaction_isolation: 'read\\ committed',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  array_nulls: 'on',
  gin_fuzzy_search_limit: '0',
  exit_on_error: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
};

/**
 * The start-up parameters of a connection. Later settings win: first the defaults, then this connection's own, and
 * last the URL's `options`, which the operator has chosen.
 */
export function startupParameters(own: Record<string, string>, ofUrl: string | undefined): Record<string, string> {
  const options = Object.entries({ ...OPTIONS, ...own }).map(([name, value]) => `-c ${name}=${value}`);
  return { ...TRACKED, options: [...options, ...(ofUrl ? [ofUrl] : [])].join(' ') };
}
