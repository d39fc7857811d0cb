import { z } from 'zod';
import { adminSettings } from './admin/admin.settings.js';
import { authSettings } from './auth/auth.settings.js';
import { dataSettings } from './data/data.settings.js';
import { addDevelopmentSecrets, type Environment, valueFrom } from './platform/secrets.js';
import * as setting from './platform/setting.js';
import { platformSettings } from './platform/settings.js';
import { StartError } from './platform/start-error.js';
import { usersSettings } from './users/users.settings.js';

/**
 * Every variable that Floodgate reads. A module declares its own beside it, and they are put together here;
 * `npm run documents` makes docs/configuration.md of their texts.
 */
export const settings = z.object({
  ...platformSettings,
  ...usersSettings,
  ...authSettings,
  ...dataSettings,
  ...adminSettings,
});

export type Config = z.infer<typeof settings>;

/** What a setting is given by: a secret also by the file that NAME_FILE names. */
const NAMES = Object.entries(settings.shape).flatMap(([name, schema]) =>
  schema.meta()?.secret ? [name, `${name}_FILE`] : [name],
);

/** What is to be said of variables that set nothing, and that settings were perhaps meant by. */
export const doubtsOf = (environment: Environment): string[] =>
  Object.keys(environment).flatMap((name) => {
    const meant = NAMES.includes(name) ? [] : setting.perhapsMeantBy(name, Object.keys(settings.shape));
    return meant.length > 0 ? [`${name} is not a setting, and changes nothing. Was ${meant.join(' or ')} meant?`] : [];
  });

/**
 * Reads the settings from the environment. An empty variable counts as absent.
 * @throws StartError with one line per mistake
 */
export function loadConfig(environment: Environment = process.env): Config {
  const mistakes = new Set<string>();
  const given: Environment = {};
  const production = environment.NODE_ENV === 'production';
  for (const [name, schema] of Object.entries(settings.shape)) {
    const meta = (schema.meta() ?? {}) as setting.SettingMeta;
    try {
      given[name] = valueFrom(name, environment, meta.secret) ?? (production ? meta.production : undefined);
      if (production && meta.required && given[name] === undefined)
        mistakes.add(`${name} is missing: production needs it (or ${name}_FILE)`);
    } catch (error) {
      mistakes.add((error as StartError).message);
    }
  }
  for (const name of Object.keys(environment)) {
    const meant = NAMES.includes(name) ? undefined : setting.meantBy(name, NAMES);
    if (meant) mistakes.add(`${name} is not a setting: ${meant} is, which it is too much like to be passed over`);
  }
  if (mistakes.size === 0 && ['development', 'test'].includes(given.NODE_ENV ?? 'development')) {
    const folder = given.DATA_DIR ?? settings.shape.DATA_DIR.parse(undefined);
    try {
      addDevelopmentSecrets(given, folder);
    } catch (error) {
      mistakes.add(`DATA_DIR cannot be used: ${folder} (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  const result = settings.safeParse(given);
  for (const issue of result.error?.issues ?? []) {
    const name = String(issue.path[0]);
    if (given[name] !== undefined) mistakes.add(`${name} ${setting.sentence(issue)}`);
  }
  const missing = 'REDIS_URL is missing:';
  if (Number(given.WEB_CONCURRENCY) > 1 && !given.REDIS_URL)
    mistakes.add(`${missing} several workers (WEB_CONCURRENCY) tell one another of changes through it`);
  else if (production && !given.REDIS_URL && given.SINGLE_REPLICA !== 'true')
    mistakes.add(`${missing} replicas tell one another of changes through it; one alone may set SINGLE_REPLICA=true`);
  if (result.data && result.data.HEADERS_TIMEOUT_MS > result.data.REQUEST_TIMEOUT_MS)
    mistakes.add('HEADERS_TIMEOUT_MS must be no more than REQUEST_TIMEOUT_MS, of which it is a part');
  if (!given.ADMIN_EMAIL !== !(given.ADMIN_PASSWORD ?? environment.ADMIN_PASSWORD_FILE))
    mistakes.add('ADMIN_EMAIL and ADMIN_PASSWORD belong together: one of them is missing');
  if (mistakes.size > 0 || !result.success) throw new StartError([...mistakes].join('\n'));
  return result.data;
}
