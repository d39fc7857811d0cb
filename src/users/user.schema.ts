import { z } from 'zod';
import { Answer } from '../platform/http/answer.js';
import { entityTag } from '../platform/http/entity-tag.js';
import { pageOf, pageParameters } from '../platform/http/page.js';
import { isCommonPassword } from './common-passwords.js';
import type { User } from './user.entity.js';

export const userId = z.uuid().toLowerCase().meta({ description: 'UUIDv7: newer ones sort behind older ones.' });
const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC, with milliseconds.' });

const EMAIL =
  /^(?=.{1,64}@)[A-Za-z0-9_'+-]+(\.[A-Za-z0-9_'+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/;

/** Long texts are refused before any pattern looks at them. */
const email = z
  .string()
  .min(1)
  .max(254, { abort: true })
  .email({ pattern: EMAIL })
  .meta({ format: 'email', examples: ['ada@example.com'] });

const name = z
  .string()
  .trim()
  .check(z.minLength(1), z.maxLength(100))
  .meta({ examples: ['Ada Lovelace'] });

const password = z
  .string()
  .min(8, { abort: true })
  .max(128, { abort: true })
  .refine((text) => !isCommonPassword(text), 'is among the most common passwords')
  .meta({
    format: 'password',
    description: '8 to 128 characters; 15 or more are recommended.',
    examples: ['correct-horse-battery'],
  });

export const role = z.enum(['user', 'admin']);

export const userSchema = z
  .object({
    id: userId,
    email: z.string(),
    name: z.string(),
    role,
    disabled: z.boolean(),
    version: z.int().min(1),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'User', description: 'Who can sign in.' });

export const newUserSchema = z.strictObject({ email, password, name }).meta({ id: 'NewUser' });
export type NewUser = z.infer<typeof newUserSchema>;

export const userPatchSchema = z
  .strictObject({
    name: name.optional(),
    email: email.optional(),
    password: password.optional(),
    currentPassword: z.string().min(1).max(128).optional().meta({
      description: 'Needed to change your own password.',
      format: 'password',
    }),
    role: role.optional().meta({ description: 'Admins only.' }),
    disabled: z.boolean().optional().meta({ description: 'Admins only.' }),
  })
  .meta({ id: 'UserPatch', description: 'JSON Merge Patch (RFC 7396). No member can be removed.' });
export type UserPatch = z.infer<typeof userPatchSchema>;

export const userQuery = z.strictObject({
  ...pageParameters,
  role: role.optional(),
  email: z.string().max(254).optional().meta({ description: 'Beginning of the address, in any case.' }),
});
export type UserQuery = z.infer<typeof userQuery>;

export const userPage = pageOf('UserPage', userSchema);

const SHOWN = Object.keys(userSchema.shape);

/** What clients see of a user, as JSON: what the schema names, and nothing else. */
export const presentUser = (user: User): string => JSON.stringify(user, SHOWN);

export const PRIVATE = { 'cache-control': 'private, no-cache' };

/** Where a user is, and what it is kept as; and what goes with the user. */
export const userPath = (id: string): string => `/api/v1/users/${id.toLowerCase()}`;
export const userTag = (id: string): string => `user:${id.toLowerCase()}`;

/** The answer that shows one user. */
export const userAnswer = (user: User, headers: Record<string, string> = {}): Answer =>
  new Answer(presentUser(user), {
    etag: entityTag(user),
    tags: [userTag(user.id)],
    headers: { ...PRIVATE, ...headers },
  });
