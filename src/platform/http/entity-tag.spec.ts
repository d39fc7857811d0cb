import { assertIfMatch, entityTag, isNotModified } from './entity-tag.js';
import { Problem } from './problem.js';

const thing = (version: number, time: number) => ({ version, createdAt: new Date(time) });
const TAG = entityTag(thing(3, 1_000_000));
const bare = TAG.slice(1, -1);

function statusOf(header: string | undefined, current: string | undefined = TAG): number {
  try {
    assertIfMatch(header, current);
    return 200;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.status;
  }
}

it('is a strong tag that differs by version and by time of creation', () => {
  expect(TAG).toMatch(/^"[\x21\x23-\x7e]+"$/);
  const tags = [thing(3, 1_000_000), thing(4, 1_000_000), thing(3, 1_000_001), thing(31, 1), thing(3, 37)];
  expect(new Set(tags.map(entityTag)).size).toBe(5);
});

describe('If-Match', () => {
  it.each([
    TAG,
    '*',
    ' * ',
    `"x", ${TAG}`,
    `${TAG},"x"`,
    ` ${TAG} `,
    `W/"x" , ${TAG}`,
    `"${bare}-gzip"`,
    `"${bare}-br"`,
    `"${bare}-zstd"`,
    `, ,\t${TAG},`,
    `"\x80é\xff", ${TAG}`,
    `"a,b",${TAG}`,
  ])('allows the change with %s', (header) => expect(statusOf(header)).toBe(200));

  it.each([
    '"x"',
    '""',
    `W/${TAG}`,
    `W/"${bare}-gzip"`,
    `"${bare}-deflate"`,
    `"${bare}-br-br"`,
    `"x${bare}"`,
    '"*"',
    '"é"',
  ])('answers 412 to %s', (header) => expect(statusOf(header)).toBe(412));

  it.each(['', ' ', bare, '"', `${TAG}${bare}`, `${TAG} "x"`, `w/${TAG}`, '*,*', `"a b"`, '"\u0100"', ',', ', ,'])(
    'answers 400 to the malformed list %j',
    (header) => expect(statusOf(header)).toBe(400),
  );

  it('answers 428 when it is missing', () => {
    expect(statusOf(undefined)).toBe(428);
  });

  it.each(['*', TAG, '"x"'])('answers 412 to %s when the resource does not exist', (header) => {
    expect(() => assertIfMatch(header, undefined)).toThrow(expect.objectContaining({ status: 412 }));
  });
});

describe('If-None-Match', () => {
  it.each([TAG, '*', `,, ${TAG} ,`, `"é", ${TAG}`, `W/${TAG}`, `"x", ${TAG}`, `"${bare}-gzip"`, `W/"${bare}-br"`])(
    'matches with %s',
    (header) => {
      expect(isNotModified(header, TAG)).toBe(true);
    },
  );

  it.each([undefined, '', '"x"', bare, `${TAG} "x"`, `"${bare}-deflate"`, '"*"'])(
    'does not match with %s',
    (header) => {
      expect(isNotModified(header, TAG)).toBe(false);
    },
  );
});
