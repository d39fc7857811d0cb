import fc from 'fast-check';
import type { Config } from '../../config.js';
import { Problem } from '../http/problem.js';
import { Cursors } from './cursor.js';

const cursorsOf = (secret: string) => new Cursors({ APP_SECRET: secret } as Config);
const cursors = cursorsOf('a secret of the tests that is long enough');

const position = fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 3 });
const scope = fc.string({ unit: 'grapheme', maxLength: 50 });

function isRefused(open: () => unknown): boolean {
  try {
    open();
    return false;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error).toMatchObject({ status: 400, members: { errors: [{ pointer: 'cursor' }] } });
    return true;
  }
}

it('decodes to its position on every replica', () => {
  const replica = cursorsOf('a secret of the tests that is long enough');
  fc.assert(
    fc.property(position, scope, (at, list) => {
      const cursor = cursors.seal(at, list);
      expect(cursor).toMatch(/^[A-Za-z0-9_.-]+$/);
      expect(replica.open(cursor, list)).toEqual(at);
    }),
  );
});

it('is refused after any change', () => {
  const edit = fc.record({
    at: fc.nat(),
    remove: fc.nat({ max: 3 }),
    insert: fc.string({
      unit: fc.oneof(
        fc.constantFrom('A', '.', '-', '_', '=', ' ', 'é', '\0'),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
      ),
      maxLength: 3,
    }),
  });
  fc.assert(
    fc.property(position, edit, (position, { at, remove, insert }) => {
      const cursor = cursors.seal(position, 'list');
      const start = at % (cursor.length + 1);
      const changed = cursor.slice(0, start) + insert + cursor.slice(start + remove);
      fc.pre(changed !== cursor);
      expect(isRefused(() => cursors.open(changed, 'list'))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

it('is refused when any one character is replaced', () => {
  const cursor = cursors.seal(['2001-01-01T00:00:00.000Z', 'id'], 'list');
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= é🦀';
  for (let at = 0; at < cursor.length; at++) {
    for (const character of characters) {
      if (cursor[at] === character) continue;
      const changed = cursor.slice(0, at) + character + cursor.slice(at + 1);
      expect([changed, isRefused(() => cursors.open(changed, 'list'))]).toEqual([changed, true]);
    }
  }
});

it('is refused for another list and with another secret', () => {
  fc.assert(
    fc.property(position, scope, scope, (at, list, other) => {
      fc.pre(list !== other);
      expect(isRefused(() => cursors.open(cursors.seal(at, list), other))).toBe(true);
      const foreign = cursorsOf('another secret of the tests, long enough').seal(at, list);
      expect(isRefused(() => cursors.open(foreign, list))).toBe(true);
    }),
  );
});

it.each(['', '.', '..', 'W10', 'W10.', '.W10', 'null', '\0', '🦀.🦀', `W10.${'A'.repeat(22)}`])(
  '%j is refused',
  (text) => {
    expect(isRefused(() => cursors.open(text, 'list'))).toBe(true);
  },
);
