import fc from 'fast-check';
import { Begun, type Item, type Split, splitArray, splitLines } from './splitter.js';

type Found = [line: number, text: string | null];

/** The items of all chunks, as text. */
async function split(by: Split, limit: number, chunks: Buffer[]): Promise<Found[]> {
  const items: Item[] = [];
  for await (const some of by(chunks, new Begun(limit))) items.push(...some);
  return items.map(({ line, bytes, isTooLong }) => [line, isTooLong ? null : bytes.toString('latin1')]);
}

const lines = (text: string, limit = 100) => split(splitLines, limit, [Buffer.from(text)]);
const elements = (text: string, limit = 100) => split(splitArray, limit, [Buffer.from(text)]);

/** The text in chunks cut at any byte, even within an escape, a character or a line end; some chunks are empty. */
const cut = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })).map(([whole, cuts]) => {
    const bytes = Buffer.from(whole);
    const at = [0, ...cuts.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b), bytes.length];
    return { bytes, chunks: at.slice(1).map((end, i) => bytes.subarray(at[i], end)) };
  });

/** The items, or the error's message. */
async function outcome(by: Split, limit: number, chunks: Buffer[]): Promise<Found[] | string> {
  try {
    return await split(by, limit, chunks);
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

describe('splitLines', () => {
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
  ])('of %j gives %j', async (text, found) => expect(await lines(text)).toEqual(found));

  it('gives null for a line longer than the limit, and then the lines after it', async () => {
    expect(await lines('1234\n12345\n123456\n1', 5)).toEqual([
      [1, '1234'],
      [2, '12345'],
      [3, null],
      [4, '1'],
    ]);
    expect(await lines('123456', 5)).toEqual([[1, null]]);
  });

  it('gives the same lines however the bytes are cut into chunks', async () => {
    const text = fc.oneof(
      fc.array(spaced).map((parts) => parts.join('\n')),
      anything,
    );
    await fc.assert(
      fc.asyncProperty(cut(text), fc.integer({ min: 1, max: 40 }), async ({ bytes, chunks }, limit) => {
        const whole = await outcome(splitLines, limit, [bytes]);
        const expected = bytes
          .toString('latin1')
          .split('\n')
          .map((line, i): Found => [i + 1, line.length > limit ? null : line]);
        expect(whole).toEqual(expected.filter(([, line]) => line === null || /[^ \t\r]/.test(line)));
        expect(await outcome(splitLines, limit, chunks)).toEqual(whole);
        expect(await outcome(splitLines, limit, oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });
});

describe('splitArray', () => {
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
  ])('of %j gives %j', async (text, found) => expect(await elements(text)).toEqual(found));

  it.each(['', ' ', '{}', '1', '[', '[1', '[1,', '["]', '[[]', '[] 1', '[][]', '[]]', ']', '\ufeff[]'])(
    'refuses %j',
    (text) => expect(elements(text)).rejects.toThrow(SyntaxError),
  );

  it('gives null for an element longer than the limit, and then the elements after it', async () => {
    expect(await elements('[1234,"123456",12345,1]', 5)).toEqual([
      [1, '1234'],
      [2, null],
      [3, '12345'],
      [4, '1'],
    ]);
  });

  it('gives the elements of any array, however the bytes are cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(cut(array), async ({ bytes, chunks }) => {
        const values = (found: Found[]) =>
          found.map(([, text]) => JSON.parse(Buffer.from(text as string, 'latin1').toString()));
        const whole = await split(splitArray, 10_000, [bytes]);
        expect(values(whole)).toEqual(JSON.parse(bytes.toString()));
        expect(whole.map(([line]) => line)).toEqual(whole.map((_, i) => i + 1));
        expect(await split(splitArray, 10_000, chunks)).toEqual(whole);
        expect(await split(splitArray, 10_000, oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same items or the same error for any bytes, however they are cut into chunks', async () => {
    const text = fc.oneof(
      anything,
      anything.map((inside) => `[${inside}]`),
    );
    await fc.assert(
      fc.asyncProperty(cut(text), fc.integer({ min: 1, max: 20 }), async ({ bytes, chunks }, limit) => {
        const whole = await outcome(splitArray, limit, [bytes]);
        expect(await outcome(splitArray, limit, chunks)).toEqual(whole);
        expect(await outcome(splitArray, limit, oneByOne(bytes))).toEqual(whole);
      }),
      { numRuns: 1000 },
    );
  });
});
