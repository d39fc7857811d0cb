import { etagOf, must } from './answers.js';
import type { Client } from './client.js';
import type { TestDatabase } from './database.js';

const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;

/** Changes a user as an admin, whatever the user's version. */
export async function changeUser(admin: Client, user: Client, patch: object): Promise<void> {
  const ifMatch = { 'if-match': etagOf(must(200, await admin.get(pathOf(user)))) };
  must(200, await admin.patch(pathOf(user), patch, ifMatch));
}

const refresh = (anyone: Client, refreshToken: unknown) => anyone.post('/api/v1/auth/refresh', { refreshToken });

/** Everything that ends a user's session, done at the admin's process. */
export const ENDINGS: [what: string, end: (admin: Client, user: Client, database: TestDatabase) => Promise<void>][] = [
  ['is disabled', (admin, user) => changeUser(admin, user, { disabled: true })],
  [
    'is deleted',
    async (admin, user) => {
      const ifMatch = { 'if-match': etagOf(must(200, await admin.get(pathOf(user)))) };
      must(204, await admin.delete(pathOf(user), ifMatch));
    },
  ],
  [
    'gets another password from an admin',
    (admin, user) => changeUser(admin, user, { password: 'another-password-of-theirs' }),
  ],
  [
    'signs out',
    async (admin, { tokens }) => {
      must(204, await admin.post('/api/v1/auth/logout', { refreshToken: tokens?.refreshToken }));
    },
  ],
  [
    'has a thief use a refresh token that was spent two refreshes ago',
    async (admin, { tokens }) => {
      const second = must(200, await refresh(admin, tokens?.refreshToken)).body;
      must(200, await refresh(admin, second.refreshToken));
      must(401, await refresh(admin, tokens?.refreshToken));
    },
  ],
  [
    'has a thief use the previous refresh token 11 s later',
    async (admin, { tokens, userId }, database) => {
      must(200, await refresh(admin, tokens?.refreshToken));
      await database.query(`UPDATE sessions SET rotated_at = rotated_at - interval '11 s' WHERE user_id = $1`, [
        userId,
      ]);
      must(401, await refresh(admin, tokens?.refreshToken));
    },
  ],
];
