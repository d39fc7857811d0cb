import CachePolicy from 'http-cache-semantics';

/** Whether a cache that many share may give an answer out without asking, as RFC 9111 and RFC 5861 have it. */
export function isShared(
  method: string,
  asked: Record<string, string>,
  status: number,
  headers: Record<string, string>,
): boolean {
  const policy = new CachePolicy({ url: '/', method, headers: asked }, { status, headers }, { shared: true });
  return policy.storable() && policy.timeToLive() > 0;
}
