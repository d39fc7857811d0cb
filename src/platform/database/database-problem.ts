import { QueryFailedError, QueryRunnerAlreadyReleasedError, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';
import { Problem, unavailable } from '../http/problem.js';

/**
 * SQLSTATE classes and codes after which the same request may well succeed (PostgreSQL manual, appendix A). Where a statement
 * could not be prepared, those that were sent behind it find that it is not there (26000).
 */
const passing = /^(08|53|57P|40|55P03|57014|25006|25P03|26000|58)/;

const connectionErrors = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)$/;

/** Texts that pg and pg-pool give to errors without a code. */
const connectionTexts =
  /timeout exceeded when trying to connect|timeout expired|Connection terminated|Query read timeout|not queryable|Cannot use a pool|Client was closed/;

/** What a server says that takes no writes: it is in recovery, or was told so. */
export const READ_ONLY = '25006';
export const TOO_MANY_CONNECTIONS = '53300';

/** The SQLSTATE of a failed query, with or without TypeORM around it. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = driverError(error) as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && severity !== undefined ? code : undefined;
}

/** Whether the connection is as good as before: PostgreSQL refused a statement, or we went no further. */
export const isOrderly = (error: unknown): boolean =>
  error instanceof Problem ||
  ((driverError(error) as { severity?: unknown }).severity === 'ERROR' && sqlState(error) !== READ_ONLY);

/** The name of the constraint that a statement broke. */
export const brokenConstraint = (error: unknown): string | undefined =>
  (driverError(error) as { constraint?: string }).constraint;

/** A database failure that passes, as 503; anything else is not for here. */
export function databaseProblem(error: unknown): Problem | undefined {
  const state = sqlState(error);
  if (state !== undefined) return passing.test(state) ? unavailable('The database cannot take this now.') : undefined;
  const { code, message, syscall } = driverError(error) as { code?: string; message?: string; syscall?: string };
  const isSystemError = code !== undefined && syscall !== undefined;
  // What TypeORM says when PostgreSQL ended the session between two statements of a transaction.
  const isReleased =
    error instanceof QueryRunnerAlreadyReleasedError || error instanceof QueryRunnerProviderAlreadyReleasedError;
  const lost = isReleased || (isSystemError && connectionErrors.test(code)) || connectionTexts.test(message ?? '');
  return lost ? unavailable('The database cannot be reached now.') : undefined;
}

function driverError(error: unknown): object {
  if (error instanceof QueryFailedError) return error.driverError;
  return typeof error === 'object' && error !== null ? error : {};
}
