import { QueryFailedError, QueryRunnerAlreadyReleasedError, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';
import { invalid, Problem, unavailable } from '../http/problem.js';

/**
 * SQLSTATE classes and codes after which the same request may well succeed (PostgreSQL manual, appendix A). 26000
 * belongs here since pipelined statements meet it when the preparation of a statement before them has failed.
 */
const passing = /^(08|53|57P|40|55P03|57014|25006|25P03|26000|58)/;

const connectionErrors =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN)$/;

/** Messages of errors to which pg and pg-pool give no code. */
const connectionTexts =
  /timeout exceeded when trying to connect|timeout expired|Connection terminated|Query read timeout|not queryable|Cannot use a pool|Client was closed/;

/** read_only_sql_transaction: the server is in recovery or set to read-only. */
export const READ_ONLY = '25006';
export const TOO_MANY_CONNECTIONS = '53300';
export const LOCK_NOT_AVAILABLE = '55P03';
/** A value that the column's type refuses, or a null in a NOT NULL column. */
const UNFIT = /^22|^23502/;
/** Violations of foreign key, unique and exclusion constraints. */
const CONFLICTS = new Set(['23503', '23505', '23P01']);
/** Without a constraint's name, it says that a partition is missing. */
const CHECK_VIOLATION = '23514';

/** The SQLSTATE of a failed query, also when TypeORM has wrapped the error. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = driverError(error) as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && severity !== undefined ? code : undefined;
}

/** Whether the connection is still usable: PostgreSQL has only refused a statement, or our own code has stopped. */
export const isOrderly = (error: unknown): boolean =>
  error instanceof Problem ||
  ((driverError(error) as { severity?: unknown }).severity === 'ERROR' && sqlState(error) !== READ_ONLY);

/** The name of the constraint that a statement violated. */
export const brokenConstraint = (error: unknown): string | undefined =>
  (driverError(error) as { constraint?: string }).constraint;

/** The 503 for a temporary database failure; undefined for any other error. */
export function databaseProblem(error: unknown): Problem | undefined {
  const state = sqlState(error);
  if (state === CHECK_VIOLATION && !brokenConstraint(error))
    return unavailable('The database has no place for this now.');
  if (state !== undefined) return passing.test(state) ? unavailable('The database cannot do this now.') : undefined;
  const { code, message, syscall } = firstOf(driverError(error));
  const isSystemError = code !== undefined && syscall !== undefined;
  // TypeORM throws these when PostgreSQL has ended the session between two statements of a transaction.
  const isReleased =
    error instanceof QueryRunnerAlreadyReleasedError || error instanceof QueryRunnerProviderAlreadyReleasedError;
  const lost = isReleased || (isSystemError && connectionErrors.test(code)) || connectionTexts.test(message ?? '');
  return lost ? unavailable('The database cannot be reached now.') : undefined;
}

/** The problem detail for a violated constraint, by the constraint's name. */
export type Conflicts = Record<string, string>;

/**
 * Turns a violated constraint or an invalid value into the caller's problem. Other errors stay as they are, as does a
 * CHECK without a declared conflict, since the schema should have refused such a value.
 */
export function toProblem(error: unknown, conflicts: Conflicts = {}): unknown {
  const state = sqlState(error) ?? '';
  const known = conflicts[brokenConstraint(error) ?? ''];
  if (known !== undefined || CONFLICTS.has(state))
    return new Problem('conflict', known ?? 'This conflicts with existing data.');
  return UNFIT.test(state) ? invalid('A value is not valid.') : error;
}

interface Failure {
  code?: string;
  message?: string;
  syscall?: string;
}

/** Where a name has several addresses, and none answers, the error has no words of its own, but one for each of them. */
export const firstOf = (error: Failure & { errors?: Failure[] }): Failure => error.errors?.[0] ?? error;

function driverError(error: unknown): object {
  if (error instanceof QueryFailedError) return error.driverError;
  return typeof error === 'object' && error !== null ? error : {};
}
