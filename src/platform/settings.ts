import { z } from 'zod';
import * as setting from './setting.js';

/** The platform's environment variables: meaning, type and default of each. A name ends with its unit. */
export const platformSettings = {
  /** In production, secrets have no default and PostgreSQL is never embedded. */
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  /** Address to listen on. */
  HOST: z.string().min(1).default('127.0.0.1').meta({ production: '0.0.0.0' }),
  /** Port to listen on; 0 takes a free one. */
  PORT: setting.integer(0, 65_535).default(3000),
  /** Processes of the app behind the port, each with its own pool. More than one need REDIS_URL. */
  WEB_CONCURRENCY: setting.integer(1, 128).default(1),
  /** Jobs: `on` works them beside the requests, `only` answers nothing but probes, `off` leaves them, and removing orphaned rows, to others. */
  WORKER: z.enum(['on', 'only', 'off']).default('on'),
  /** Most jobs at the same time, per process. */
  JOB_CONCURRENCY: setting.integer(1, 1000).default(20),
  /** Where clients reach the API; also the `iss` of its tokens. A proxy removes its path, if any, and links have it. */
  PUBLIC_URL: setting.publicUrl.default('http://localhost:3000'),
  /** Proxies whose X-Forwarded-For is trusted: their number, or their addresses or CIDR ranges, separated by commas. */
  TRUST_PROXY: setting.proxies.optional(),
  /** Where development keeps its database and secrets. Not used in production. */
  DATA_DIR: z.string().min(1).default('.data'),

  /** PostgreSQL 18 or newer, with `?sslmode=verify-full` over TLS. Without it, development starts its own. */
  DATABASE_URL: setting.databaseUrl.optional().meta({ secret: true, required: true }),
  /** For migrations: a direct connection when DATABASE_URL leads through a pooler, and the schema's owner when DATABASE_URL's role is not. */
  DATABASE_MIGRATION_URL: setting.databaseUrl.optional().meta({ secret: true }),
  /** Connections that requests share, per process and server. Some more serve short reads, exports and the watch. */
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
  /** A replica further behind is not used. A caller who has written reads from the primary for twice this time. */
  DATABASE_REPLICA_MAX_LAG_MS: setting.integer(100, 600_000).default(5000),
  /** Concurrent exports and atomic uploads, per process and server, on connections beside the pool. */
  STREAM_CONCURRENCY: setting.integer(1, 100).default(2),
  /** Migrate the schema at start. In production, run `npm run migrate` before a rollout instead. */
  MIGRATE_ON_START: setting.flag.default(true).meta({ production: 'false' }),
  /** How long to wait while another process migrates. After that the start fails and names the other process. */
  MIGRATION_WAIT_MS: setting.integer(0, 86_400_000).default(600_000),

  /** Redis, its Sentinels or a cluster (docs/operations.md), with user and password, if any: the cache's second tier, messages between replicas, shared limits. */
  REDIS_URL: setting.redisUrl.optional().meta({ secret: true }),
  /** CA certificates in PEM for a rediss:// server, if the system does not know them. */
  REDIS_CA: z.string().min(1).optional().meta({ secret: true }),
  /** How long to wait for one call to Redis before going on without it. */
  REDIS_TIMEOUT_MS: setting.integer(1, 10_000).default(50),
  /** Allow production without REDIS_URL, because only one process will ever run. */
  SINGLE_REPLICA: setting.flag.default(false),
  /** How long a cache entry is fresh, unless it changes; 0 caches nothing. */
  CACHE_TTL_MS: setting.integer(0, 86_400_000).default(60_000),
  /** How long after that an entry is served while it is read again; later, only if that fails; with 0, never. */
  CACHE_STALE_MS: setting.integer(0, 86_400_000).default(600_000),
  /** The largest size of the cache in this process. */
  CACHE_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(33_554_432),
  /** Most reads and writes at a time, fewer when answers are slow; half as many sign-ins, a quarter as many uploads. */
  ADMISSION_MAX_REQUESTS: setting.integer(10, 100_000).default(1000),
  /** How long a request may wait for admission before it is refused with 503. */
  ADMISSION_WAIT_MS: setting.integer(1, 60_000).default(500),
  /** Answer hot reads before the pipeline: the same answers, several times as fast. */
  EDGE: setting.flag.default(true),

  /** Signs cursors and refresh tokens. Every replica needs the same one. Development makes one. */
  APP_SECRET: z.string().min(32, 'must have 32 characters or more').meta({ secret: true, required: true }),

  /** Requests per RATE_LIMIT_WINDOW_S for a user, or for an address without a token. They may all come at once. */
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
  /** How often one session's tokens may be refreshed, and how often an address may try invalid ones. */
  REFRESH_LIMIT: setting.integer(1, 1_000_000_000).default(600),

  /** Origins whose pages may call the API, separated by commas. Without it, none may. */
  CORS_ORIGINS: setting.list(setting.origin).optional(),
  /** How long browsers may use a public record or collection without asking again; shared caches too, unless they have their own. */
  PUBLIC_MAX_AGE_S: setting.integer(0, 86_400).default(0),
  /** The same for shared caches, such as a CDN or an nginx in front. */
  PUBLIC_SHARED_MAX_AGE_S: setting.integer(0, 86_400).optional(),
  /** How long after that shared caches may give out what they have while they ask again. */
  PUBLIC_SHARED_STALE_S: setting.integer(0, 86_400).default(0),
  /** Largest JSON body, and largest line of a bulk upload. */
  BODY_LIMIT_BYTES: setting.integer(1024, 67_108_864).default(1_048_576),
  /** Largest bulk upload, which is streamed and not held in memory. */
  BULK_LIMIT_BYTES: setting.integer(1024, 1_073_741_824).default(67_108_864),
  /** An upload under an Idempotency-Key that gives no sign of life for so long counts as crashed and may be retried. */
  IDEMPOTENCY_LEASE_MS: setting.integer(100, 600_000).default(30_000),
  /** Memory for request bodies. Beyond it, the oldest body of the caller with the most is refused with 503. */
  BODY_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(33_554_432),
  /** Memory for answers that wait for their readers, a quarter per caller. The default is a tenth of a 256 MiB pod. */
  ANSWER_MEMORY_BYTES: setting.integer(1_048_576, 17_179_869_184).default(25_165_824),
  /** How long changes are kept for readers who come back. */
  FEED_KEPT_S: setting.integer(60, 31_536_000).default(86_400),
  /** Listeners of change feeds per process. Each also counts as a connection. */
  FEED_LISTENERS: setting.integer(1, 1_000_000).default(10_000),
  /** Streams that one caller, a user or an address, may keep open per process. */
  FEED_LISTENERS_PER_CALLER: setting.integer(1, 1_000_000).default(100),
  /** How long a webhook's receiver may take to answer. */
  WEBHOOK_TIMEOUT_MS: setting.integer(100, 60_000).default(10_000),
  /** Private addresses that webhooks may be sent to all the same, as CIDR ranges separated by commas. */
  WEBHOOK_ALLOWED_ADDRESSES: setting.list(setting.addressRange).optional(),
  /** Connections per process. Beyond that, those that have sent no whole request are closed first. */
  MAX_CONNECTIONS: setting.integer(10, 1_000_000).default(10_000),
  /** A connection is closed after so many requests, so that callers spread over new replicas too. */
  MAX_REQUESTS_PER_CONNECTION: setting.integer(1, 1_000_000_000).default(10_000),
  /** How long a caller may take to send the headers. */
  HEADERS_TIMEOUT_MS: setting.integer(100, 600_000).default(10_000),
  /** How long a caller may take to send a whole request. */
  REQUEST_TIMEOUT_MS: setting.integer(100, 3_600_000).default(120_000),
  /** A connection is closed when its reader takes nothing for so long; sooner, when many answers wait. */
  SEND_TIMEOUT_MS: setting.integer(100, 600_000).default(10_000),
  /** How long an idle connection stays open: longer than at the load balancer (60 s is common). */
  KEEP_ALIVE_TIMEOUT_MS: setting.integer(100, 3_600_000).default(72_000),
  /** How long to serve on after SIGTERM, while /health/ready says 503; in the second half, only to end open connections. */
  DRAIN_DELAY_MS: setting.integer(0, 300_000).default(0).meta({ production: '5000' }),
  /** After the drain delay, how long running requests may take to finish. */
  DRAIN_TIMEOUT_MS: setting.integer(100, 600_000).default(20_000),
  /** The least severe level that is logged. */
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Readable lines, or one JSON object a line in the Elastic Common Schema. */
  LOG_FORMAT: z.enum(['pretty', 'ecs']).default('pretty').meta({ production: 'ecs' }),
  /** The service's name in the log, traces and metrics. */
  OTEL_SERVICE_NAME: z.string().min(1).default('floodgate'),
  /** A collector that gets traces, metrics and log lines by OTLP over HTTP, at /v1/traces, /v1/metrics and /v1/logs below this URL. */
  OTEL_EXPORTER_OTLP_ENDPOINT: setting.url('http:', 'https:').optional(),
  /** The protocol of the collector. */
  OTEL_EXPORTER_OTLP_PROTOCOL: z.enum(['http/protobuf']).default('http/protobuf'),
  /** Headers for the collector, such as a key: name=value, separated by commas. */
  OTEL_EXPORTER_OTLP_HEADERS: setting.pairs.optional().meta({ secret: true }),
  /** Whether the collector gets traces. With none, requests are not traced. */
  OTEL_TRACES_EXPORTER: z.enum(['otlp', 'none']).default('otlp'),
  /** Whether the collector gets the metrics of /metrics. */
  OTEL_METRICS_EXPORTER: z.enum(['otlp', 'none']).default('otlp'),
  /** Whether the collector gets the lines of the log, which stay on standard output, too. */
  OTEL_LOGS_EXPORTER: z.enum(['otlp', 'none']).default('otlp'),
  /** Which requests are traced; `parentbased_…` follows the caller's traceparent where there is one. */
  OTEL_TRACES_SAMPLER: z
    .enum(['always_on', 'traceidratio', 'always_off'].flatMap((name) => [`parentbased_${name}`, name]))
    .default('parentbased_always_on'),
  /** The share of requests that `traceidratio` traces, 0 to 1. */
  OTEL_TRACES_SAMPLER_ARG: setting.ratio.default(1),
  /** Most spans that wait to be sent, per process. More are dropped. */
  OTEL_BSP_MAX_QUEUE_SIZE: setting.integer(512, 1_000_000).default(2048),
  /** The delay between two batches of spans, in milliseconds. */
  OTEL_BSP_SCHEDULE_DELAY: setting.integer(1, 60_000).default(5000),
  /** The time between two exports of metrics, in milliseconds. */
  OTEL_METRIC_EXPORT_INTERVAL: setting.integer(1000, 3_600_000).default(60_000),
};
