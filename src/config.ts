import { createPrivateKey, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { addDevelopmentSecrets, readSecretFile } from './platform/secrets.js';
import {
  addresses,
  ConfigError,
  type Environment,
  flag,
  integer,
  list,
  origin,
  pem,
  type SettingMeta,
  setting,
  splitPem,
  url,
} from './platform/setting.js';
import { limitSettings } from './platform/throttle/limit.settings.js';

/** Every variable that Floodgate reads: its type, default, unit and meaning. `npm run documents` makes docs/configuration.md of it. */
export const settings = z.object({
  NODE_ENV: setting(z.enum(['development', 'test', 'production']).default('development'), {
    about: 'Production takes no default for a secret and no embedded PostgreSQL.',
  }),
  HOST: setting(z.string().min(1).default('127.0.0.1'), {
    about: 'Address to listen on.',
    production: '0.0.0.0',
  }),
  PORT: setting(integer(0, 65_535).default(3000), { about: 'Port to listen on; 0 takes a free one.' }),
  PUBLIC_URL: setting(url('http:', 'https:').default('http://localhost:3000'), {
    about: 'Where clients reach the API: the issuer (`iss`) of its tokens.',
  }),
  TRUST_PROXY: setting(addresses.optional(), {
    about: 'Proxies whose X-Forwarded-For is believed: addresses or CIDR ranges, separated by commas.',
  }),
  DATA_DIR: setting(z.string().min(1).default('.data'), {
    about: 'Where development keeps its database and its secrets. Not used in production.',
  }),

  DATABASE_URL: setting(url('postgres:', 'postgresql:').optional(), {
    about: 'PostgreSQL 18 or newer. Without it, development starts its own.',
    secret: true,
    required: true,
  }),
  DATABASE_MIGRATION_URL: setting(url('postgres:', 'postgresql:').optional(), {
    about: 'A direct connection for migrations when DATABASE_URL leads through a pooler.',
    secret: true,
  }),
  DATABASE_POOL_SIZE: setting(integer(2, 1000).default(10), { about: 'Connections per process.' }),
  DATABASE_ACQUIRE_TIMEOUT_MS: setting(integer(1, 60_000).default(2000), {
    about: 'How long a request waits for a connection before it is refused with 503.',
    unit: 'ms',
  }),
  DATABASE_STATEMENT_TIMEOUT_MS: setting(integer(1, 3_600_000).default(10_000), {
    about: 'PostgreSQL cancels a statement that runs longer.',
    unit: 'ms',
  }),
  DATABASE_LOCK_TIMEOUT_MS: setting(integer(1, 60_000).default(2000), {
    about: 'PostgreSQL gives up waiting for a lock after this.',
    unit: 'ms',
  }),
  DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS: setting(integer(1, 600_000).default(10_000), {
    about: 'PostgreSQL ends a session that leaves a transaction idle for longer.',
    unit: 'ms',
  }),
  DATABASE_QUERY_TIMEOUT_MS: setting(integer(1, 3_600_000).default(15_000), {
    about: 'This process gives up on a query after this, whatever PostgreSQL does.',
    unit: 'ms',
  }),
  DATABASE_REPLICA_URLS: setting(list(url('postgres:', 'postgresql:')).optional(), {
    about: 'Read replicas, separated by commas: lists of records, statistics and exports are read there.',
    secret: true,
  }),
  DATABASE_REPLICA_MAX_LAG_MS: setting(integer(100, 600_000).default(5000), {
    about: 'A replica further behind is left out. Who has written reads from the primary for twice this time.',
    unit: 'ms',
  }),
  STREAM_CONCURRENCY: setting(integer(1, 100).default(2), {
    about: 'Exports and atomic uploads at the same time per process and server, on connections beside the pool.',
  }),
  MIGRATE_ON_START: setting(flag.default(true), {
    about: 'Bring the schema up to date at start. Production runs `npm run migrate` before a rollout instead.',
    production: 'false',
  }),

  REDIS_URL: setting(url('redis:', 'rediss:').optional(), {
    about:
      'Redis: the second tier of the cache, messages between replicas, shared limits. With user and password, if any.',
    secret: true,
  }),
  REDIS_CA: setting(z.string().min(1).optional(), {
    about: 'Certificates in PEM that vouch for a rediss:// server, where the system does not know them.',
    secret: true,
  }),
  REDIS_TIMEOUT_MS: setting(integer(1, 10_000).default(50), {
    about: 'How long one call to Redis may take before it is done without.',
    unit: 'ms',
  }),
  SINGLE_REPLICA: setting(flag.default(false), {
    about: 'Production may do without REDIS_URL: there is only ever one process of it.',
  }),

  APP_SECRET: setting(z.string().min(32, 'must have 32 characters or more'), {
    about: 'Signs cursors and refresh tokens. Every replica needs the same. Development makes one.',
    secret: true,
    required: true,
  }),
  JWT_PRIVATE_KEY: setting(pem(createPrivateKey), {
    about: 'Signs access tokens: an Ed25519 or P-256 private key in PEM. Development makes one.',
    secret: true,
    required: true,
  }),
  JWT_OTHER_PUBLIC_KEYS: setting(
    z
      .string()
      .transform(splitPem)
      .pipe(z.array(pem(createPublicKey)).min(1, 'must hold public keys in PEM'))
      .optional(),
    {
      about: 'Public keys in PEM, one after another, that are accepted and published too: the next, the last.',
      secret: true,
    },
  ),
  JWT_AUDIENCE: setting(z.string().min(1).default('floodgate'), {
    about: 'The audience (`aud`) of access tokens.',
  }),
  ACCESS_TOKEN_TTL_S: setting(integer(10, 900).default(900), {
    about: 'Life of an access token.',
    unit: 's',
  }),
  REFRESH_TOKEN_TTL_S: setting(integer(60, 31_536_000).default(2_592_000), {
    about: 'How long a session lives without being refreshed.',
    unit: 's',
  }),
  SESSION_CHECK_MS: setting(integer(0, 5000).default(3000), {
    about: 'How long a session is believed to live on before PostgreSQL is asked again.',
    unit: 'ms',
  }),
  PASSWORD_HASH_CONCURRENCY: setting(integer(1, 64).default(2), {
    about: 'Passwords hashed at the same time, on threads beside the event loop.',
  }),
  PASSWORD_HASH_QUEUE: setting(integer(1, 10_000).default(64), {
    about: 'Passwords that may wait to be hashed; one more is refused with 503.',
  }),
  ADMIN_EMAIL: setting(z.email('must be an email address').optional(), {
    about: 'The first admin, made at start when there is none. Development makes admin@example.com.',
  }),
  ADMIN_PASSWORD: setting(
    z.string().min(8, 'must have 8 to 128 characters').max(128, 'must have 8 to 128 characters').optional(),
    {
      about: "The first admin's password.",
      secret: true,
    },
  ),

  ...limitSettings,

  CORS_ORIGINS: setting(list(origin).optional(), {
    about: 'Origins whose pages may call the API, separated by commas. Without it, none may.',
  }),
  IDEMPOTENCY_LEASE_MS: setting(integer(100, 600_000).default(30_000), {
    about:
      'After so long without a sign of life, an upload under an Idempotency-Key counts as crashed and may be tried again.',
    unit: 'ms',
  }),
  PUBLIC_MAX_AGE_S: setting(integer(0, 86_400).default(0), {
    about: 'How long clients and proxies may use a public record without asking again.',
    unit: 's',
  }),
  BODY_LIMIT_BYTES: setting(integer(1024, 67_108_864).default(1_048_576), {
    about: 'Largest JSON body.',
    unit: 'bytes',
  }),
  BULK_LIMIT_BYTES: setting(integer(1024, 1_073_741_824).default(67_108_864), {
    about: 'Largest bulk upload; it is streamed, not held.',
    unit: 'bytes',
  }),
  RECORD_LIMIT_BYTES: setting(integer(64, 1_048_576).default(65_536), {
    about: 'Largest `data` of a record, and largest line of a bulk upload.',
    unit: 'bytes',
  }),
  HEADERS_TIMEOUT_MS: setting(integer(100, 600_000).default(10_000), {
    about: 'How long a caller may take to send the headers.',
    unit: 'ms',
  }),
  REQUEST_TIMEOUT_MS: setting(integer(100, 3_600_000).default(120_000), {
    about: 'How long a caller may take to send a whole request.',
    unit: 'ms',
  }),
  KEEP_ALIVE_TIMEOUT_MS: setting(integer(100, 3_600_000).default(72_000), {
    about: 'How long an idle connection is kept: longer than a load balancer does (60 s is common).',
    unit: 'ms',
  }),
  DRAIN_DELAY_MS: setting(integer(0, 300_000).default(0), {
    about: 'After SIGTERM, how long to go on serving while /health/ready already says 503.',
    unit: 'ms',
    production: '5000',
  }),
  DRAIN_TIMEOUT_MS: setting(integer(100, 600_000).default(20_000), {
    about: 'After that, how long requests in hand may take to finish.',
    unit: 'ms',
  }),
  LOG_LEVEL: setting(z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'), {
    about: 'The least serious messages that are logged.',
  }),
  LOG_FORMAT: setting(z.enum(['pretty', 'ecs']).default('pretty'), {
    about: 'Readable lines, or one JSON object a line in the Elastic Common Schema.',
    production: 'ecs',
  }),
});

export type Config = z.infer<typeof settings>;

const metaOf = (name: string) => (settings.shape[name as keyof Config].meta() ?? {}) as SettingMeta;
const names = Object.keys(settings.shape);

/**
 * Reads the settings from the environment. An empty variable counts as absent.
 * @throws ConfigError with one line per mistake
 */
export function loadConfig(environment: Environment = process.env): Config {
  const mistakes: string[] = [];
  const given: Environment = {};
  const production = environment.NODE_ENV === 'production';
  for (const name of names) {
    const meta = metaOf(name);
    given[name] = readSecretFile(name, meta, environment, mistakes) || environment[name] || undefined;
    if (production) given[name] ??= meta.production;
    if (production && meta.required && given[name] === undefined && mistakes.every((line) => !line.startsWith(name))) {
      mistakes.push(`${name} is missing: production needs it${meta.secret ? ` (or ${name}_FILE)` : ''}`);
    }
  }
  if (mistakes.length === 0 && ['development', 'test'].includes(given.NODE_ENV ?? 'development')) {
    const folder = given.DATA_DIR ?? settings.shape.DATA_DIR.parse(undefined);
    try {
      addDevelopmentSecrets(given, folder);
    } catch (error) {
      mistakes.push(`DATA_DIR cannot be used: ${folder} (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  const result = settings.safeParse(given);
  for (const issue of result.error?.issues ?? []) {
    const name = String(issue.path[0]);
    if (given[name] !== undefined) mistakes.push(`${name} ${sentence(issue)}`);
  }
  if (production && !given.REDIS_URL && given.SINGLE_REPLICA !== 'true') {
    mistakes.push(
      'REDIS_URL is missing: replicas tell one another of changes through it. With one replica only, set SINGLE_REPLICA=true',
    );
  }
  if (!given.ADMIN_EMAIL !== !(given.ADMIN_PASSWORD ?? environment.ADMIN_PASSWORD_FILE)) {
    mistakes.push('ADMIN_EMAIL and ADMIN_PASSWORD belong together: one of them is missing');
  }
  if (mistakes.length > 0 || !result.success) throw new ConfigError([...new Set(mistakes)].join('\n'));
  return result.data;
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  return issue.message.startsWith('must') ? issue.message : `is not valid: ${issue.message}`;
}
