import fc from 'fast-check';
import { escapePointer, MAX_DEPTH, parseJson } from './json.js';
import { Problem } from './problem.js';

/** The pointer of the error, or its detail when it has none. */
function refusal(text: string | Buffer): string {
  try {
    parseJson(Buffer.from(text as string));
  } catch (error) {
    const { type, members, detail } = error as Problem;
    expect(type).toBe('invalid-request');
    const [mistake] = (members.errors as { pointer: string }[] | undefined) ?? [];
    return mistake ? mistake.pointer : detail;
  }
  throw new Error('it was taken');
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

it('parses any JSON that can be stored exactly', () => {
  const name = fc.string({ unit: 'binary' }).filter((text) => text !== '__proto__' && !text.includes('\0'));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true, min: -1e6, max: 1e6 }).filter((number) => !Object.is(number, -0)),
      name,
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(
        name.filter((text) => text !== 'constructor'),
        tie('any'),
        { maxKeys: 4 },
      ),
    ),
  })).any;
  fc.assert(
    fc.property(value, (given) => {
      const text = JSON.stringify(given);
      expect(JSON.parse(JSON.stringify(parseJson(Buffer.from(text))))).toEqual(JSON.parse(text));
    }),
  );
});

it.each([
  ['{"a":[1,"\\u0000"]}', '/a/1'],
  ['{"a/b":{"~":"\\ud800"}}', '/a~1b/~0'],
  ['{"\\udfff":1}', '/\ufffd'],
  ['{"__proto__":{}}', '/__proto__'],
  ['[{"\\u005f_proto__":1}]', '/0/__proto__'],
  ['{"constructor":{"prototype":null}}', '/constructor'],
  ['9007199254740992', ''],
  ['[-9007199254740993]', '/0'],
  ['[1e16]', '/0'],
  ['1e999', ''],
  ['{"a":-1e400}', '/a'],
  [nested(MAX_DEPTH + 1), '/0'.repeat(MAX_DEPTH)],
  [nested(100_000), '/0'.repeat(MAX_DEPTH)],
  [`${'{"a":'.repeat(MAX_DEPTH + 1)}1${'}'.repeat(MAX_DEPTH + 1)}`, '/a'.repeat(MAX_DEPTH)],
])('refuses %.60s and points at the flaw', (text, pointer) => {
  expect(refusal(text)).toBe(pointer);
});

it.each([
  nested(MAX_DEPTH),
  '9007199254740991',
  '-9007199254740991',
  '"\\ud83e\\udd80"',
  '"\\\\u0000 \\\\ud800"',
  '{"constructor":"x","prototype":{}}',
  '{"constructor":{"name":"x"}}',
  '{"proto":{},"__proto":1}',
  '5e-324',
  '0.1',
])('accepts %s', (text) => {
  expect(JSON.parse(JSON.stringify(parseJson(Buffer.from(text))))).toEqual(JSON.parse(text));
});

it.each([[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]])('refuses %j, … as not UTF-8', (...bytes) => {
  expect(refusal(Buffer.from([0x22, ...bytes, 0x22]))).toBe('The body is not valid UTF-8.');
});

it.each(['', ' ', '{', '[1,]', "'a'", 'NaN', '01', '{"a":1}{', '"\n"', 'undefined'])(
  'refuses %j as invalid JSON, in its own words',
  (text) => {
    expect(refusal(text)).toMatch(/^The body is not valid JSON(: see character \d+)?\.$/);
  },
);

it.each([
  ['\ufeff1', /byte order mark/],
  [`${nested(100_000).slice(0, 100_000)}1e-9${']'.repeat(100_000)}`, /nested deeper than 32 levels/],
])('says what is wrong with %.20s', (text, detail) => {
  expect(refusal(text)).toMatch(detail);
});

it('never pollutes the prototype of all objects', () => {
  expect(() => parseJson(Buffer.from('{"__proto__":{"polluted":1}}'))).toThrow(Problem);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});

it('makes well-formed steps of a JSON Pointer', () => {
  expect(escapePointer('~1/')).toBe('~01~1');
  expect(escapePointer(7)).toBe('7');
  expect(escapePointer('\ud800')).toBe('\ufffd');
});
