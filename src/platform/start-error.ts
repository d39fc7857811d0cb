/** Why this process cannot start, a line for each reason, for whoever reads its log. */
export class StartError extends Error {
  override name = 'StartError';
}
