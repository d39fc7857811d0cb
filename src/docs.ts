import { readFileSync } from 'node:fs';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance, FastifyReply, onRequestHookHandler } from 'fastify';
import { type Config, settings } from './config.js';
import { notFound } from './platform/http/problem.js';
import { publicPathOf } from './platform/http/public-path.js';
import { splitUrl } from './platform/http/split-url.js';

/** What the page is made of. The package that has it holds more, such as its version. */
const PAGE_FILES =
  /^\/docs\/(?:swagger-ui\.css|swagger-ui-(?:bundle|standalone-preset)\.js|favicon-(?:16|32)x\d\d\.png)$/;

const isDocument = (url: string) => url === '/openapi.json' || url === '/docs' || url.startsWith('/docs/');

/** Nest's template of the page has no other place for what phones need to show text in its size. */
const TITLE = 'Floodgate API</title><meta name="viewport" content="width=device-width, initial-scale=1"><title>';

/** Beside its own style: what a phone needs to show without scrolling to the side. */
const STYLE = `
  .swagger-ui .info { margin: 24px 0; }
  .swagger-ui .scheme-container { padding: 16px 0; }
  @media (max-width: 640px) {
    .swagger-ui .wrapper, .swagger-ui .opblock .opblock-section-header { padding: 8px; }
    .swagger-ui .opblock .opblock-summary-path-description-wrapper { flex: 1 1 0; min-width: 0; }
    .swagger-ui .opblock .opblock-summary-path { max-width: none; }
    .swagger-ui .opblock .opblock-summary-description { flex-basis: 100%; }
    .swagger-ui .try-out .btn { margin-left: 4px; min-width: 0; padding: 5px 12px; }
    .swagger-ui .table-container table, .swagger-ui .table-container tbody, .swagger-ui .table-container tr,
    .swagger-ui .table-container td, .swagger-ui table.responses-table, .swagger-ui .responses-table tbody,
    .swagger-ui .responses-table tr, .swagger-ui .responses-table td { display: block; width: 100%; }
    .swagger-ui .table-container thead, .swagger-ui .responses-table thead { display: none; }
    .swagger-ui .table-container { padding: 8px; }
    .swagger-ui table tbody tr td:first-of-type { max-width: none; }
    .swagger-ui input, .swagger-ui select, .swagger-ui textarea { font-size: 16px; max-width: 100%; }
    .swagger-ui .dialog-ux .modal-ux { min-width: 0; width: calc(100% - 16px); }
    .swagger-ui .auth-container input[type=text] { min-width: 0; width: 100%; }
  }
`;

/**
 * Runs in the page. A padlock is closed once there is a token, not because a token is optional. Answers show only the headers
 * that a client acts by, not the twenty that all have. NDJSON examples stay lines, since they are no JSON text.
 */
const plugin = () => ({
  afterLoad(this: Page) {
    const { getSampleSchema } = this.fn;
    this.fn.getSampleSchema = (schema: Page, type: string, config: Page, example?: Page) =>
      type === 'application/x-ndjson' && example ? example : getSampleSchema(schema, type, config, example);
  },
  statePlugins: {
    auth: {
      wrapSelectors: {
        isAuthorized: (isAuthorized: (security: Page) => boolean) => (_state: unknown, security: Page) =>
          isAuthorized(security.filter((one: Page) => one.size > 0)),
      },
    },
  },
  wrapComponents: {
    headers:
      (Headers: unknown, { React }: Page) =>
      (props: Page) => {
        const told = ['ETag', 'Link', 'Location', 'Idempotency-Replayed', 'Retry-After', 'WWW-Authenticate'];
        const headers = props.headers?.filter((_: Page, name: string) => told.includes(name));
        return React.createElement(Headers, { ...props, headers });
      },
  },
});
// biome-ignore lint/suspicious/noExplicitAny: the page's own state, of which there are no types
type Page = any;

/**
 * Where clients find the API. Without PUBLIC_URL it is the port that this process listens on; the default stays the issuer of
 * tokens, so that replicas on several ports accept each other's.
 */
export function serverUrl({ PUBLIC_URL, PORT }: Config): string {
  const isGiven = PUBLIC_URL !== settings.shape.PUBLIC_URL.parse(undefined) || PORT === 0;
  return isGiven ? PUBLIC_URL.replace(/\/$/, '') : `http://localhost:${PORT}`;
}

/** `npm run dev` runs what tsc made, file by file: only there can the document be made while the app runs. */
const isUnbundled = import.meta.url.endsWith('/docs.js');

/** Serves /openapi.json as `npm run documents` made it or would make it, and a page for people at /docs that needs no other host. */
export async function serveDocument(
  nest: NestFastifyApplication,
  fastify: FastifyInstance,
  config: Config,
): Promise<void> {
  const kept = new Map();
  fastify.addHook('onRoute', (route) => {
    if (isDocument(route.url)) route.config = { ...route.config, kept };
    if (route.url !== '/docs/*') return;
    const isThere: onRequestHookHandler = (request, _reply, done) =>
      done(PAGE_FILES.test(splitUrl(request.url)[0]) ? undefined : notFound());
    route.onRequest = [isThere, ...[route.onRequest ?? []].flat()];
  });
  const read = isUnbundled
    ? (await import(new URL('../scripts/openapi.ts', import.meta.url).href)).createDocument
    : () => JSON.parse(readFileSync(new URL('../openapi.json', import.meta.url), 'utf8'));
  const readFor = (server: string) => ({ ...read(nest), servers: [{ url: server }] });
  let text: string | undefined;
  nest.getHttpAdapter().get('/openapi.json', (_request: unknown, reply: FastifyReply) => {
    // A client generator needs the API's full URL.
    text ??= JSON.stringify(readFor(serverUrl(config)));
    reply.type('application/json').send(text);
  });
  // The page's Content-Security-Policy lets it call its own origin only.
  SwaggerModule.setup('docs', nest, () => readFor(publicPathOf(config) || '/'), {
    raw: false,
    customSiteTitle: TITLE,
    customCss: STYLE,
    swaggerOptions: {
      layout: 'BaseLayout',
      persistAuthorization: true,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      defaultModelsExpandDepth: 0,
      plugins: [plugin],
    },
  });
}
