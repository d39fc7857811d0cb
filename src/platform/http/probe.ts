import type { IncomingMessage } from 'node:http';

const PROBES = /^\/(?:health\/(?:live|ready|startup)|metrics)(?:\?|$)/;

/** What an orchestrator or a monitoring system asks, by itself: it is answered whatever else there is to do. */
export const isProbe = ({ method, url = '' }: IncomingMessage): boolean =>
  (method === 'GET' || method === 'HEAD') && PROBES.test(url);
