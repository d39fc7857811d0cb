import fc from 'fast-check';
import { ArraySplitter, LineSplitter, type Splitter } from './splitter.js';

type Found = [line: number, text: string | null];

/** All items of the chunks, as text. */
function split(splitter: Splitter, chunks: Buffer[]): Found[] {
  const items = chunks.flatMap((chunk) => splitter.push(chunk));
  return [...items, ...splitter.end()].map(({ line, bytes }) => [
    line,
    bytes === null ? null : bytes.toString('latin1'),
  ]);
}

const lines = (text: string, limit = 100) => split(new LineSplitter(limit), [Buffer.from(text)]);
const elements = (text: string, limit = 100) => split(new ArraySplitter(limit), [Buffer.from(text)]);

/** The text in chunks, cut at any bytes: within an escape, a character, a line end; some of them empty. */
const cut = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })).map(([whole, cuts]) => {
    const bytes = Buffer.from(whole);
    const at = [0, ...cuts.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b), bytes.length];
    return { bytes, chunks: at.slice(1).map((end, i) => bytes.subarray(at[i], end)) };
  });

/** The same, whether it is items or the error. */
function outcome(splitter: Splitter, chunks: Buffer[]): Found[] | string {
  try {
    return split(splitter, chunks);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return error.message;
  }
}

const oneByOne = (bytes: Buffer) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

const json = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
);
const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 2 });
const spaced = fc.tuple(space, json, space).map((parts) => parts.join(''));
const array = fc.array(spaced, { maxLength: 6 }).map((parts) => ` [${parts.join(',')}]\n`);
const anything = fc.string({
  unit: fc.constantFrom('[', ']', '{', '}', ',', '"', '\\', '\n', '\r', ' ', 'a', 'é'),
  maxLength: 60,
});

describe('LineSplitter', () => {
  it.each<[string, Found[]]>([
    ['', []],
    ['\n\n', []],
    ['a', [[1, 'a']]],
    ['a\n', [[1, 'a']]],
    [
      'a\nb',
      [
        [1, 'a'],
        [2, 'b'],
      ],
    ],
    [
      'a\r\n\r\n \t\nb\r\n',
      [
        [1, 'a\r'],
        [4, 'b\r'],
      ],
    ],
    ['\n"x,]}\\"', [[2, '"x,]}\\"']]],
  ])('of %j gives %j', (text, found) => expect(lines(text)).toEqual(found));

  it('gives null for a line that is longer than the limit, and the ones behind it', () => {
    expect(lines('1234\n12345\n123456\n1', 5)).toEqual([
      [1, '1234'],
      [2, '12345'],
      [3, null],
      [4, '1'],
    ]);
    expect(lines('123456', 5)).toEqual([[1, null]]);
  });

  it('gives the same lines however the bytes are cut into chunks', () => {
    const text = fc.oneof(
      fc.array(spaced).map((parts) => parts.join('\n')),
      anything,
    );
    fc.assert(
      fc.property(cut(text), fc.integer({ min: 1, max: 40 }), ({ bytes, chunks }, limit) => {
        const whole = outcome(new LineSplitter(limit), [bytes]);
        const expected = bytes
          .toString('latin1')
          .split('\n')
          .map((line, i): Found => [i + 1, line.length > limit ? null : line]);
        expect(whole).toEqual(expected.filter(([, line]) => line === null || /[^ \t\r]/.test(line)));
        expect(outcome(new LineSplitter(limit), chunks)).toEqual(whole);
        expect(outcome(new LineSplitter(limit), oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });
});

describe('ArraySplitter', () => {
  it.each<[string, Found[]]>([
    ['[]', []],
    [' [ \n ] ', []],
    ['[1]', [[1, '1']]],
    [
      '[1, {"a":[2,3]} ,"]"]',
      [
        [1, '1'],
        [2, ' {"a":[2,3]} '],
        [3, '"]"'],
      ],
    ],
    [
      '["\\"],[","\\\\"]',
      [
        [1, '"\\"],["'],
        [2, '"\\\\"'],
      ],
    ],
    [
      '[,1,]',
      [
        [1, ''],
        [2, '1'],
        [3, ''],
      ],
    ],
    ['[{]]', [[1, '{]']]],
  ])('of %j gives %j', (text, found) => expect(elements(text)).toEqual(found));

  it.each(['', ' ', '{}', '1', '[', '[1', '[1,', '["]', '[[]', '[] 1', '[][]', '[]]', ']', '\ufeff[]'])(
    'refuses %j',
    (text) => expect(() => elements(text)).toThrow(SyntaxError),
  );

  it('gives null for an element that is longer than the limit, and the ones behind it', () => {
    expect(elements('[1234,"123456",12345,1]', 5)).toEqual([
      [1, '1234'],
      [2, null],
      [3, '12345'],
      [4, '1'],
    ]);
  });

  it('gives the elements of any array, however the bytes are cut into chunks', () => {
    fc.assert(
      fc.property(cut(array), ({ bytes, chunks }) => {
        const values = (found: Found[]) =>
          found.map(([, text]) => JSON.parse(Buffer.from(text as string, 'latin1').toString()));
        const whole = split(new ArraySplitter(10_000), [bytes]);
        expect(values(whole)).toEqual(JSON.parse(bytes.toString()));
        expect(whole.map(([line]) => line)).toEqual(whole.map((_, i) => i + 1));
        expect(split(new ArraySplitter(10_000), chunks)).toEqual(whole);
        expect(split(new ArraySplitter(10_000), oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same of anything at all, or refuses it alike, however it is cut', () => {
    const text = fc.oneof(
      anything,
      anything.map((inside) => `[${inside}]`),
    );
    fc.assert(
      fc.property(cut(text), fc.integer({ min: 1, max: 20 }), ({ bytes, chunks }, limit) => {
        const whole = outcome(new ArraySplitter(limit), [bytes]);
        expect(outcome(new ArraySplitter(limit), chunks)).toEqual(whole);
        expect(outcome(new ArraySplitter(limit), oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 1000 },
    );
  });
});
