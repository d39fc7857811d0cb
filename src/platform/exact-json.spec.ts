import fc from 'fast-check';
import { parseExactly } from './exact-json.js';

/** Names with characters that JSON must escape, and others. */
const NAMES = ['\\', '"', '\n', '\t', '\\n', 'a\\', 'a"', '\\u004', '__proto__', '0', '', '\u2028', 'é'];

it('reads every name as it was written, whatever was parsed before', () => {
  for (let round = 0; round < 3; round++) {
    for (const name of NAMES) {
      const value = Object.fromEntries(
        [...NAMES.filter((other) => other !== name).slice(0, round), name].map((n) => [n, [n]]),
      );
      const text = JSON.stringify({ h: round, [name]: 1, deep: [{ h: value, x: `"${name}":` }] });
      expect(JSON.stringify(parseExactly(text))).toBe(text);
    }
  }
  expect(parseExactly('{"h":1,"\\u0041BCDE":1}')).toEqual({ h: 1, ABCDE: 1 });
});

it('takes the last of two members with one name, and does not change values', () => {
  expect(parseExactly('{ "\\\\" :1, "b" : "\\"\\\\\\":" , "\\u005c": {"\\"":2} }')).toEqual({
    '\\': { '"': 2 },
    b: '"\\":',
  });
  expect(parseExactly('{"__proto__":{"\\\\":1}}')).toEqual(JSON.parse('{"__proto__":{"\\\\":1}}'));
  expect([parseExactly('"\\\\"'), parseExactly('[{}]'), parseExactly(' 7 ')]).toEqual(['\\', [{}], 7]);
});

it('throws a SyntaxError for text that is not JSON', () => {
  for (const text of ['', '{"\\\\":}', '{"\\\\":1', '{"\\x":1}', "{'\\\\':1}"])
    expect(() => parseExactly(text)).toThrow(SyntaxError);
});

/** The value of a JSON number, times 10^1000. */
function scaled(text: string): bigint {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)!;
  return BigInt(`${sign}${whole}${fraction}`) * 10n ** BigInt(1000 - fraction.length + Number(exponent));
}

it('keeps the value of every number to its last digit, written without an exponent', () => {
  const digits = (maxLength: number) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength });
  const number = fc.tuple(
    fc.constantFrom('', '-'),
    digits(15).map((text) => text.replace(/^0+(?=\d)/, '')),
    fc.option(
      digits(30).map((text) => `.${text}`),
      { nil: '' },
    ),
    fc.option(
      fc.integer({ min: -300, max: 0 }).map((exponent) => `e${exponent}`),
      { nil: '' },
    ),
  );
  fc.assert(
    fc.property(
      number.map((parts) => parts.join('')),
      fc.constantFrom('', ' '),
      (source, space) => {
        const text = JSON.stringify(parseExactly(`{"a":[${space}${source}]}`));
        expect(text).toMatch(/^\{"a":\[-?\d+(\.\d+)?\]\}$/);
        expect(scaled(text.slice(6, -2))).toBe(scaled(source));
        expect(JSON.stringify(parseExactly(source))).toBe(text.slice(6, -2));
      },
    ),
    { numRuns: 2000 },
  );
});
