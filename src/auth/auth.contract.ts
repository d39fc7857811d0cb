import { randomUUID } from 'node:crypto';
import { ADMIN } from '../../test/support/app.js';
import type { Clients } from '../../test/support/contract.js';
import { contract } from '../../test/support/contract.js';

const anyone = (status = 200) => ({ nothing: [status, status, status, status] as const });

/** A new refresh token for each request, since a token can be used only once. */
const newToken = async ({ nobody }: Clients) => {
  const { tokens } = await nobody.signIn(ADMIN.email, ADMIN.password);
  return { refreshToken: tokens?.refreshToken };
};

const ID = '0198c0de-0000-7000-8000-000000000000';

export default contract({
  subjects: {},
  operations: {
    register: anyone(201),
    login: anyone(),
    refresh: anyone(),
    logout: anyone(204),
    getJwks: anyone(),
  },
  shownElsewhere: { register: [409] },
  bodies: {
    register: () => ({ email: `${randomUUID()}@example.com`, password: 'a-password-of-a-user', name: 'New' }),
    login: () => ADMIN,
    refresh: newToken,
    logout: newToken,
  },
  texts: {
    'auth.guard.ts': ['Bearer abc.def'],
    'tokens.service.ts': [ID],
  },
});
