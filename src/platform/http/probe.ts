import type { IncomingMessage } from 'node:http';

const PROBES = /^\/(?:health\/(?:live|ready|startup)|metrics)(?:\?|$)/;

/** Whether an orchestrator or a monitoring system asks; it is answered under any load. */
export const isProbe = ({ method, url = '' }: IncomingMessage): boolean =>
  (method === 'GET' || method === 'HEAD') && PROBES.test(url);
