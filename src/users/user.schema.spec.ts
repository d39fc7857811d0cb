import type { z } from 'zod';
import { newUserSchema, userPatchSchema } from './user.schema.js';

const user = { email: 'ada@example.com', password: 'correct-horse-battery', name: 'Ada' };

/** The names of the fields with mistakes. */
const faults = (schema: z.ZodType, value: unknown) => [
  ...new Set(schema.safeParse(value).error?.issues.map(({ path }) => path.join('.'))),
];

describe('a new user', () => {
  it.each(['a@b.co', "o'hara+tag@sub.example.com", 'UPPER@EXAMPLE.COM'])('may have the email %s', (email) => {
    expect(faults(newUserSchema, { ...user, email })).toEqual([]);
  });

  it.each([
    '',
    ' ',
    'ada',
    '@example.com',
    'ada@',
    'ada@example',
    'ada@@example.com',
    'a da@example.com',
    ' ada@example.com',
    'ada@example.com\n',
    'ada@example.com\r\nBcc: all@example.com',
    'ada..b@example.com',
    '<ada@example.com>',
    `${'a'.repeat(243)}@example.com`,
  ])('may not have the address %j', (email) => {
    expect(faults(newUserSchema, { ...user, email })).toEqual(['email']);
  });

  it.each([
    [7, ['password']],
    [8, []],
    [128, []],
    [129, ['password']],
  ])('with a password of %i characters has these mistakes: %j', (length, expected) => {
    expect(faults(newUserSchema, { ...user, password: 'xK9#mQ2!'.repeat(17).slice(0, length) })).toEqual(expected);
  });

  it.each(['password', '12345678', 'BASEBALL', 'Football', 'qwertyuiop'])(
    'may not have the common password %s',
    (password) => {
      expect(faults(newUserSchema, { ...user, password })).toEqual(['password']);
    },
  );

  it('keeps blanks in a password, and trims a name', () => {
    const given = { ...user, password: '  spaces matter  ', name: '\t Ada Lovelace \n' };
    expect(newUserSchema.parse(given)).toEqual({ ...given, name: 'Ada Lovelace' });
  });

  it.each(['', '   ', 'n'.repeat(101)])('may not have the name %j', (name) => {
    expect(faults(newUserSchema, { ...user, name })).toEqual(['name']);
  });

  it('has all fields and no others', () => {
    expect(faults(newUserSchema, {}).sort()).toEqual(['email', 'name', 'password']);
    for (const extra of ['role', 'disabled', 'id', 'version', 'passwordHash'])
      expect(newUserSchema.safeParse({ ...user, [extra]: 'x' }).error?.issues).toMatchObject([
        { code: 'unrecognized_keys', keys: [extra] },
      ]);
  });
});

describe('a change of a user', () => {
  it('may contain any single field, or none', () => {
    for (const patch of [{}, { name: 'A' }, { email: user.email }, { role: 'admin' }, { disabled: false }])
      expect(userPatchSchema.parse(patch)).toEqual(patch);
  });

  it('has the limits of a new user', () => {
    const patch = { name: '', email: 'x', password: 'x', currentPassword: 'x'.repeat(129) };
    expect(faults(userPatchSchema, patch).sort()).toEqual(Object.keys(patch).sort());
  });

  it('removes nothing: null is refused everywhere', () => {
    const fields = Object.keys(userPatchSchema.shape);
    expect(fields.length).toBeGreaterThan(0);
    for (const field of fields) expect(faults(userPatchSchema, { [field]: null })).toEqual([field]);
  });
});
