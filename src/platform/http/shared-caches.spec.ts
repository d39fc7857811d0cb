import fc from 'fast-check';
import CachePolicy from 'http-cache-semantics';
import { isShared } from './shared-caches.js';

const directive = fc.oneof(
  fc.constantFrom('public', 'private', 'no-store', 'no-cache', 'must-revalidate'),
  fc
    .tuple(
      fc.constantFrom('max-age', 's-maxage', 'stale-while-revalidate'),
      fc.constantFrom('0', '00', '1', '60', '007'),
    )
    .map((parts) => parts.join('=')),
);
/** Each name at most once. */
const control = fc
  .uniqueArray(directive, { maxLength: 5, selector: (one) => one.split('=')[0] })
  .map((directives) => directives.join(', '));

/** What a library that caches use makes of it. */
function isReused(text: string): boolean {
  const answer = { status: 200, headers: { 'cache-control': text } };
  const policy = new CachePolicy({ url: '/', method: 'GET', headers: {} }, answer, { shared: true });
  return policy.storable() && policy.timeToLive() > 0;
}

it('knows what a shared cache reuses without asking', () => {
  fc.assert(
    fc.property(control, (text) => {
      // Of what contradicts itself, the cautious half counts.
      fc.pre(!/no-cache.*stale|stale.*no-cache/.test(text));
      expect([text, isShared(text)]).toEqual([text, isReused(text)]);
    }),
    { numRuns: 2000 },
  );
});

it('goes by each of the two headers', () => {
  expect(isShared('no-store', 'max-age=60')).toBe(true);
  expect(isShared('public, max-age=60', 'no-store')).toBe(true);
  expect(isShared('private, no-cache', undefined)).toBe(false);
  expect(isShared(undefined, undefined)).toBe(false);
});
