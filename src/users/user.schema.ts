import { z } from 'zod';
import { Answer } from '../platform/http/answer.js';
import { userTag } from '../platform/http/caller.js';
import { entityTag } from '../platform/http/entity-tag.js';
import { caching } from '../platform/http/shared-caches.js';
import { normalized } from '../platform/normalized.js';
import { pathOf, resourceId } from '../platform/resource/definition.js';
import { pageOf, pageParameters } from '../platform/resource/page.js';
import { emailPrefix, newEmail } from './email.schema.js';
import { givenPassword, newPassword } from './password.schema.js';
import type { User } from './user.entity.js';

export const USERS = { path: '/api/v1/users' };
const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC, with milliseconds.' });

const name = normalized('NFC', 1, 100, z.string().trim()).meta({
  description: 'Stored in NFC and without surrounding white space. The length limit applies to that form.',
  examples: ['Ada Lovelace'],
});

export const role = z.enum(['user', 'admin']);

export const userSchema = z
  .object({
    id: resourceId,
    email: z.string().meta({ examples: ['ada@example.com'] }),
    name: z.string().meta({ examples: ['Ada Lovelace'] }),
    role,
    disabled: z.boolean(),
    version: z.int().min(1),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'User', description: 'Somebody who can sign in.' });

export const newUserSchema = z.strictObject({ email: newEmail, password: newPassword, name }).meta({ id: 'NewUser' });
export type NewUser = z.infer<typeof newUserSchema>;

export const userPatchSchema = z
  .strictObject({
    name: name.optional(),
    email: newEmail.optional(),
    password: newPassword.optional(),
    currentPassword: givenPassword.optional().meta({ description: 'Needed to change your own password.' }),
    role: role.optional().meta({ description: 'Admins only.' }),
    disabled: z.boolean().optional().meta({ description: 'Admins only.' }),
  })
  .meta({
    id: 'UserPatch',
    description: 'JSON Merge Patch (RFC 7396). No member can be removed.',
    examples: [{ name: 'Ada King' }],
  });
export type UserPatch = z.infer<typeof userPatchSchema>;

export const userQuery = z.strictObject({
  ...pageParameters,
  role: role.optional(),
  email: emailPrefix.optional().meta({ description: 'Beginning of the email, in any case.' }),
});
export type UserQuery = z.infer<typeof userQuery>;

export const userPage = pageOf('UserPage', userSchema);

const SHOWN = Object.keys(userSchema.shape);

/** A user as JSON, with the schema's members only. */
export const presentUser = (user: User): string => JSON.stringify(user, SHOWN);

export const PRIVATE = caching(false);

/** The path of a user, which is also its cache key. */
export const userPath = (id: string): string => pathOf(USERS, id);

/** The cache key of users' answers about themselves. It can never equal a request's path. */
export const ownName = (id: string): string => `own:${id}`;

/** All cache keys and tags to drop when a user is changed or deleted. */
export const namesOf = (id: string): string[] => [userPath(id), ownName(id), userTag(id)];

export const userAnswer = (user: User, headers: Record<string, string> = {}): Answer =>
  new Answer(presentUser(user), {
    etag: entityTag(user),
    headers: { ...PRIVATE, ...headers },
  });
