/**
 * What each connection asks for, so that no server, database or role has habits that an answer depends on. These two
 * PgBouncer keeps in mind, and gives them to whichever connection to PostgreSQL it lends.
 */
const TRACKED = { DateStyle: 'ISO', TimeZone: 'UTC', standard_conforming_strings: 'on' };

/** PgBouncer passes these over, as it is told to (ignore_startup_parameters). 0 is no time-out, which pg itself cannot ask for. */
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
 * Start-up parameters of a connection. What is set later counts more: what is wanted for this connection alone, and at the
 * end what its URL says by `options`, which is the operator's own word.
 */
export function startupParameters(own: Record<string, string>, ofUrl: string | undefined): Record<string, string> {
  const options = Object.entries({ ...OPTIONS, ...own }).map(([name, value]) => `-c ${name}=${value}`);
  return { ...TRACKED, options: [...options, ...(ofUrl ? [ofUrl] : [])].join(' ') };
}
