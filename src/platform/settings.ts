import { z } from 'zod';
import * as setting from './setting.js';

/** The variables that the platform reads: meaning, type and default of each; its name ends with its unit. */
export const platformSettings = {
  /** Production takes no default for a secret and no embedded PostgreSQL. */
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  /** Address to listen on. */
  HOST: z.string().min(1).default('127.0.0.1').meta({ production: '0.0.0.0' }),
  /** Port to listen on; 0 takes a free one. */
  PORT: setting.integer(0, 65_535).default(3000),
  /** Processes of the app behind the one port, each with its own pool; more than one need REDIS_URL. */
  WEB_CONCURRENCY: setting.integer(1, 128).default(1),
  /** Where clients reach the API: the issuer (`iss`) of its tokens. Its path, if any, is taken off by a proxy, and told to clients. */
  PUBLIC_URL: setting.publicUrl.default('http://localhost:3000'),
  /** Proxies whose X-Forwarded-For is believed: how many are in front, or their addresses or CIDR ranges, separated by commas. */
  TRUST_PROXY: setting.proxies.optional(),
  /** Where development keeps its database and its secrets. Not used in production. */
  DATA_DIR: z.string().min(1).default('.data'),

  /** PostgreSQL 18 or newer, with `?sslmode=verify-full` over TLS. Without it, development starts its own. */
  DATABASE_URL: setting.databaseUrl.optional().meta({ secret: true, required: true }),
  /** A direct connection for migrations when DATABASE_URL leads through a pooler. */
  DATABASE_MIGRATION_URL: setting.databaseUrl.optional().meta({ secret: true }),
  /** Connections that requests share, per process and server; some more are kept for short reads, exports and the watch. */
  DATABASE_POOL_SIZE: setting.integer(2, 1000).default(10),
  /** How long a request waits for a connection before it is refused with 503. */
  DATABASE_ACQUIRE_TIMEOUT_MS: setting.integer(1, 60_000).default(2000),
  /** PostgreSQL cancels a statement that runs longer. */
  DATABASE_STATEMENT_TIMEOUT_MS: setting.integer(1, 3_600_000).default(10_000),
  /** PostgreSQL gives up waiting for a lock after this. */
  DATABASE_LOCK_TIMEOUT_MS: setting.integer(1, 60_000).default(2000),
  /** PostgreSQL ends a session that leaves a transaction idle for longer. */
  DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS: setting.integer(1, 600_000).default(10_000),
  /** This process gives up on a query after this, whatever PostgreSQL does. */
  DATABASE_QUERY_TIMEOUT_MS: setting.integer(1, 3_600_000).default(15_000),
  /** Read replicas, separated by commas: lists, statistics and exports are read there. */
  DATABASE_REPLICA_URLS: setting.list(setting.databaseUrl).optional().meta({ secret: true }),
  /** A replica further behind is left out. Who has written reads from the primary for twice this time. */
  DATABASE_REPLICA_MAX_LAG_MS: setting.integer(100, 600_000).default(5000),
  /** Exports and atomic uploads at the same time per process and server, on connections beside the pool. */
  STREAM_CONCURRENCY: setting.integer(1, 100).default(2),
  /** Bring the schema up to date at start. Production runs `npm run migrate` before a rollout instead. */
  MIGRATE_ON_START: setting.flag.default(true).meta({ production: 'false' }),
  /** How long to wait while another process migrates; then it says who that is, and gives up. */
  MIGRATION_WAIT_MS: setting.integer(0, 86_400_000).default(600_000),

  /** Redis, with its user and password, if any: the cache's second tier, messages between replicas, shared limits. */
  REDIS_URL: setting.redisUrl.optional().meta({ secret: true }),
  /** Certificates in PEM that vouch for a rediss:// server, where the system does not know them. */
  REDIS_CA: z.string().min(1).optional().meta({ secret: true }),
  /** How long one call to Redis may take before it is done without. */
  REDIS_TIMEOUT_MS: setting.integer(1, 10_000).default(50),
  /** Production may do without REDIS_URL: there is only ever one process of it. */
  SINGLE_REPLICA: setting.flag.default(false),
  /** How long what was read is kept, if nobody changes it; 0 keeps nothing. */
  CACHE_TTL_MS: setting.integer(0, 86_400_000).default(60_000),
  /** How long behind that it is still given out while it is read anew; later, only where that fails; with 0, never. */
  CACHE_STALE_MS: setting.integer(0, 86_400_000).default(600_000),
  /** What is kept in this process takes no more. */
  CACHE_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(33_554_432),
  /** Most reads and writes in hand, fewer when answers slow down; beside them half as many sign-ins, a quarter as many uploads. */
  ADMISSION_MAX_REQUESTS: setting.integer(10, 100_000).default(1000),
  /** How long a request may wait to be taken in hand before it is refused with 503. */
  ADMISSION_WAIT_MS: setting.integer(1, 60_000).default(500),
  /** Answer hot reads before the pipeline: the same answers, several times as fast. */
  EDGE: setting.flag.default(true),

  /** Signs cursors and refresh tokens. Every replica needs the same. Development makes one. */
  APP_SECRET: z.string().min(32, 'must have 32 characters or more').meta({ secret: true, required: true }),

  /** Requests that a user, or an address without a token, may send in RATE_LIMIT_WINDOW_S: at once, or evenly. */
  RATE_LIMIT_REQUESTS: setting.integer(1, 1_000_000_000).default(600),
  /** The window of RATE_LIMIT_REQUESTS. */
  RATE_LIMIT_WINDOW_S: setting.integer(1, 86_400).default(60),
  /** The window of the limits on signing in, registering and refreshing tokens. */
  AUTH_LIMIT_WINDOW_S: setting.integer(1, 86_400).default(300),
  /** How often an address may try to sign in with the same email, right or wrong. */
  LOGIN_LIMIT: setting.integer(1, 1_000_000_000).default(10),
  /** How often an address may fail to sign in, whatever the email. */
  LOGIN_ADDRESS_LIMIT: setting.integer(1, 1_000_000_000).default(60),
  /** How many users may be registered from one address. */
  REGISTER_LIMIT: setting.integer(1, 1_000_000_000).default(60),
  /** How often one session's tokens may be refreshed, and an address may try with any that are not good. */
  REFRESH_LIMIT: setting.integer(1, 1_000_000_000).default(600),

  /** Origins whose pages may call the API, separated by commas. Without it, none may. */
  CORS_ORIGINS: setting.list(setting.origin).optional(),
  /** How long clients and proxies may use a public record or collection without asking again. */
  PUBLIC_MAX_AGE_S: setting.integer(0, 86_400).default(0),
  /** Largest JSON body, and largest line of a bulk upload. */
  BODY_LIMIT_BYTES: setting.integer(1024, 67_108_864).default(1_048_576),
  /** Largest bulk upload; it is streamed, not held. */
  BULK_LIMIT_BYTES: setting.integer(1024, 1_073_741_824).default(67_108_864),
  /** All bodies that are being received take no more; beyond, the oldest of the caller with most of them is refused with 503. */
  BODY_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(33_554_432),
  /** All answers that wait for their readers take no more, those of one caller a quarter: a tenth of a pod's 256 MiB. */
  ANSWER_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(25_165_824),
  /** Connections per process; beyond, those make room first that have sent no whole request. */
  MAX_CONNECTIONS: setting.integer(10, 1_000_000).default(10_000),
  /** After so many requests a connection is ended, so that callers spread over new replicas too. */
  MAX_REQUESTS_PER_CONNECTION: setting.integer(1, 1_000_000_000).default(10_000),
  /** How long a caller may take to send the headers. */
  HEADERS_TIMEOUT_MS: setting.integer(100, 600_000).default(10_000),
  /** How long a caller may take to send a whole request. */
  REQUEST_TIMEOUT_MS: setting.integer(100, 3_600_000).default(120_000),
  /** A reader who takes nothing of an answer for so long is given up; sooner, when much waits. */
  SEND_TIMEOUT_MS: setting.integer(100, 600_000).default(10_000),
  /** How long an idle connection is kept: longer than a load balancer does (60 s is common). */
  KEEP_ALIVE_TIMEOUT_MS: setting.integer(100, 3_600_000).default(72_000),
  /** After SIGTERM, how long to serve on while /health/ready says 503; in its second half, answers end their connections. */
  DRAIN_DELAY_MS: setting.integer(0, 300_000).default(0).meta({ production: '5000' }),
  /** After that, how long requests in hand may take to finish. */
  DRAIN_TIMEOUT_MS: setting.integer(100, 600_000).default(20_000),
  /** The least serious messages that are logged. */
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Readable lines, or one JSON object a line in the Elastic Common Schema. */
  LOG_FORMAT: z.enum(['pretty', 'ecs']).default('pretty').meta({ production: 'ecs' }),
  /** What this service is called in the log and in traces. */
  OTEL_SERVICE_NAME: z.string().min(1).default('floodgate'),
  /** A collector that takes traces by OTLP over HTTP, at /v1/traces below this URL. Without it, nothing is traced. */
  OTEL_EXPORTER_OTLP_ENDPOINT: setting.url('http:', 'https:').optional(),
  /** What the collector is spoken to in. */
  OTEL_EXPORTER_OTLP_PROTOCOL: z.enum(['http/protobuf']).default('http/protobuf'),
  /** Headers for the collector, such as a key: name=value, separated by commas. */
  OTEL_EXPORTER_OTLP_HEADERS: setting.pairs.optional().meta({ secret: true }),
  /** Which requests are traced; `parentbased_…` leaves it to the caller's traceparent where there is one. */
  OTEL_TRACES_SAMPLER: z
    .enum(['always_on', 'traceidratio', 'always_off'].flatMap((name) => [`parentbased_${name}`, name]))
    .default('parentbased_always_on'),
  /** The share of requests that `traceidratio` traces, 0 to 1. */
  OTEL_TRACES_SAMPLER_ARG: setting.ratio.default(1),
  /** Spans that wait to be sent at most, per process; more are dropped. */
  OTEL_BSP_MAX_QUEUE_SIZE: setting.integer(512, 1_000_000).default(2048),
  /** How long a span waits for others to be sent with, in milliseconds. */
  OTEL_BSP_SCHEDULE_DELAY: setting.integer(1, 60_000).default(5000),
};
