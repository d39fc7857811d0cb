import type { IncomingMessage } from 'node:http';

const PROBES = /^\/(?:health\/(?:live|ready|startup)|metrics)(?:\?|$)/;

/** Whether the request is a probe of an orchestrator or a monitoring system, which is answered under any load. */
export const isProbe = ({ method, url = '' }: IncomingMessage): boolean =>
  (method === 'GET' || method === 'HEAD') && PROBES.test(url);
