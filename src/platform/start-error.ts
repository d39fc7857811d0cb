/** Why this process cannot start, in one line for whoever reads its log. */
export class StartError extends Error {
  override name = 'StartError';
}
