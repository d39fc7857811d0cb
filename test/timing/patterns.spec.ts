import type { z } from 'zod';
import { credentialsSchema, refreshTokenSchema } from '../../src/auth/auth.schema.js';
import { assertIfMatch, entityTag } from '../../src/platform/http/entity-tag.js';
import { newUserSchema, userPatchSchema, userQuery } from '../../src/users/user.schema.js';

const user = { email: 'ada@example.com', password: 'correct-horse-battery', name: 'Ada' };

/** Counts only the CPU time of this thread. */
const msSince = (start: NodeJS.CpuUsage) => {
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000;
};

describe('50 KB of text made against patterns', () => {
  const SIZE = 50_000;
  const hostile = [
    'a',
    'a@',
    'a.',
    '@',
    '.',
    '-',
    '+a',
    'a-',
    '!',
    ' ',
    '\t\n',
    '\u00a0',
    '0',
    'a@a.',
    "'",
    '\\',
    '%_',
    'é',
    '\u{1f600}',
  ].flatMap((piece) => {
    const long = piece.repeat(SIZE / piece.length);
    // Alone, before and after valid text, and at the greatest length that passes the check of the length.
    const short = piece.repeat(Math.floor(250 / piece.length));
    return [long, `${long}!`, `a@${long}`, `a@${long}.com\0`, `a${long}a`, short, `${short}!`, `a@${short}!`];
  });
  const schemas: Record<string, z.ZodObject> = {
    newUser: newUserSchema,
    userPatch: userPatchSchema,
    userQuery,
    credentials: credentialsSchema,
    refreshToken: refreshTokenSchema,
  };
  const fields = Object.entries(schemas).flatMap(([schema, { shape }]) =>
    Object.keys(shape).map((field) => [schema, field] as const),
  );

  it.each(fields)('is refused by %s.%s without delay', (schema, field) => {
    const bad: unknown[] = [];
    for (const text of hostile) {
      const start = process.threadCpuUsage();
      const { error } = (schemas[schema] as z.ZodObject).safeParse({ ...user, [field]: text });
      const took = msSince(start);
      if (took > 200) bad.push([text.slice(0, 10), text.length, took]);
      const isLong = text.trim().length > 1024;
      if (isLong && !error?.issues.some(({ path }) => path[0] === field)) bad.push(['taken', text.slice(0, 10)]);
    }
    expect(bad).toEqual([]);
  });
});

it('reads If-Match in linear time', () => {
  const tag = entityTag({ version: 3, createdAt: new Date(1_000_000) });
  const start = process.threadCpuUsage();
  for (const header of [
    `${'"a",'.repeat(4000)}x`,
    `"${'a'.repeat(16_000)}`,
    ' '.repeat(16_000),
    `${'"a" , '.repeat(3000)}"`,
  ])
    expect(() => assertIfMatch(header, tag)).toThrow(expect.objectContaining({ status: 400 }));
  expect(msSince(start)).toBeLessThan(1000);
});
