import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** One line a request, in the fields of the Elastic Common Schema. The query is left out: it may hold personal data. */
export function registerAccessLog(fastify: FastifyInstance): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const path = request.url.split('?', 1)[0] as string;
    request.log[levelOf(request, reply)](
      {
        http: {
          request: { id: request.id, method: request.method },
          response: { status_code: reply.statusCode },
        },
        url: { path },
        client: { ip: request.ip },
        event: { duration: Math.round(reply.elapsedTime * 1e6) },
        ...(request.caller ? { user: { id: request.caller.id } } : {}),
      },
      `${request.method} ${path} ${reply.statusCode} ${reply.elapsedTime.toFixed(1)} ms`,
    );
    done();
  });
}

/** Probes and scrapes come every few seconds and say nothing as long as they are answered. */
function levelOf(request: FastifyRequest, reply: FastifyReply): 'debug' | 'info' {
  const isProbe = request.url.startsWith('/health/') || request.url.startsWith('/metrics');
  return isProbe && reply.statusCode < 400 ? 'debug' : 'info';
}
