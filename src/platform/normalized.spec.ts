import fc from 'fast-check';
import { normalized } from './normalized.js';

const text = fc.string({ unit: 'binary', maxLength: 12 });

it.each(['NFC', 'NFKC'] as const)('counts the characters of a text in %s, whatever form it is sent in', (form) => {
  const schema = normalized(form, 3, 8);
  const sent = fc.constantFrom(...(form === 'NFC' ? ['NFC', 'NFD'] : ['NFC', 'NFD', 'NFKC', 'NFKD']));
  fc.assert(
    fc.property(text, sent, (value, other) => {
      const kept = value.normalize(form);
      const isGood = [...kept].length >= 3 && [...kept].length <= 8;
      for (const same of [value, value.normalize(other)])
        expect(schema.safeParse(same)).toMatchObject(isGood ? { success: true, data: kept } : { success: false });
    }),
    { numRuns: 2000 },
  );
});

it('accepts the longest text of every character, sent decomposed', () => {
  const forms = [
    ['NFC', 'NFD', normalized('NFC', 1, 4)],
    ['NFKC', 'NFKD', normalized('NFKC', 1, 4)],
  ] as const;
  const refused: string[] = [];
  for (let code = 0; code <= 0x10ffff; code++) {
    const character = String.fromCodePoint(code);
    for (const [form, pieces, schema] of forms) {
      const longest = character.normalize(pieces);
      if (longest === character || character.normalize(form) !== character) continue;
      if (!schema.safeParse(longest.repeat(4)).success) refused.push(character);
    }
  }
  expect(refused).toEqual([]);
});

it('does not normalise a text that is too long in every form', () => {
  const seen: number[] = [];
  const { normalize } = String.prototype;
  String.prototype.normalize = function (this: string, form) {
    seen.push(this.length);
    return normalize.call(this, form);
  };
  try {
    for (const length of [32, 33, 1_000_000]) normalized('NFKC', 1, 8).safeParse('\ufdfa'.repeat(length));
  } finally {
    String.prototype.normalize = normalize;
  }
  expect(seen).toEqual([32]);
});

it('names the limit in one message', () => {
  const messages = (value: string) =>
    normalized('NFC', 3, 8)
      .safeParse(value)
      .error?.issues.map(({ message }) => message);
  expect(messages('e\u0301'.repeat(2))).toEqual(['must have 3 characters or more']);
  for (const long of ['x'.repeat(9), 'x'.repeat(1000)])
    expect(messages(long)).toEqual(['must have 8 characters or fewer']);
});
