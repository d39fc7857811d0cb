import { integer, setting } from '../setting.js';

const MOST = 1_000_000_000;

/** How much each caller may ask for (see docs/limits.md). */
export const limitSettings = {
  RATE_LIMIT_REQUESTS: setting(integer(1, MOST).default(600), {
    about: 'Requests that a user, or an address without a token, may send in RATE_LIMIT_WINDOW_S: at once, or evenly.',
  }),
  RATE_LIMIT_WINDOW_S: setting(integer(1, 86_400).default(60), {
    about: 'The window of RATE_LIMIT_REQUESTS.',
    unit: 's',
  }),
  AUTH_LIMIT_WINDOW_S: setting(integer(1, 86_400).default(300), {
    about: 'The window of the limits on signing in, registering and refreshing tokens.',
    unit: 's',
  }),
  LOGIN_LIMIT: setting(integer(1, MOST).default(10), {
    about: 'How often an address may try to sign in with the same email, right or wrong.',
  }),
  LOGIN_ADDRESS_LIMIT: setting(integer(1, MOST).default(60), {
    about: 'How often an address may fail to sign in, whatever the email.',
  }),
  REGISTER_LIMIT: setting(integer(1, MOST).default(60), {
    about: 'How many users may be registered from one address.',
  }),
  REFRESH_LIMIT: setting(integer(1, MOST).default(600), {
    about: 'How often tokens may be refreshed from one address.',
  }),
};
