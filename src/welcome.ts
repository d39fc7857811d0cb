import type { FastifyInstance } from 'fastify';

/** Where a newcomer goes from `/`. */
const WAYS = { docs: '/docs', openapi: '/openapi.json', health: '/health/ready' };

/** Answers `/` with these links, as JSON or, to browsers, as a page. */
export function serveWelcome(fastify: FastifyInstance): void {
  const at = fastify.getDecorator<string>('publicPath');
  const ways = Object.entries(WAYS).map(([name, path]) => [name, at + path]);
  const links = ways.map(([name, path]) => `<li><a href="${path}">${name}</a></li>`).join('');
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Floodgate</title><h1>Floodgate</h1><ul>${links}</ul></html>`;
  const document = JSON.stringify({ name: 'Floodgate', ...Object.fromEntries(ways) });
  fastify.get('/', (request, reply) => {
    const isPage = request.headers.accept?.includes('text/html');
    return reply
      .headers({ vary: 'Accept', 'cache-control': 'no-cache' })
      .type(isPage ? 'text/html; charset=utf-8' : 'application/json')
      .send(isPage ? page : document);
  });
}
