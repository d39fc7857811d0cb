/** Why this process cannot start, for the log: one line for each reason. */
export class StartError extends Error {
  override name = 'StartError';
}
