import { parseExactly } from './exact-json.js';

/** Names that JSON has to escape, beside ones that it need not. */
const NAMES = ['\\', '"', '\n', '\t', '\\n', 'a\\', 'a"', '\\u004', '__proto__', '0', '', '\u2028', 'é'];

it('reads every name as it was written, whatever was read before', () => {
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

it('takes the last of two members of one name, and leaves values alone', () => {
  expect(parseExactly('{ "\\\\" :1, "b" : "\\"\\\\\\":" , "\\u005c": {"\\"":2} }')).toEqual({
    '\\': { '"': 2 },
    b: '"\\":',
  });
  expect(parseExactly('{"__proto__":{"\\\\":1}}')).toEqual(JSON.parse('{"__proto__":{"\\\\":1}}'));
  expect([parseExactly('"\\\\"'), parseExactly('[{}]'), parseExactly(' 7 ')]).toEqual(['\\', [{}], 7]);
});

it('throws at what is no JSON', () => {
  for (const text of ['', '{"\\\\":}', '{"\\\\":1', '{"\\x":1}', "{'\\\\':1}"])
    expect(() => parseExactly(text)).toThrow(SyntaxError);
});
