import type { IncomingMessage } from 'node:http';
import { canDecode, splitUrl } from '../http/split-url.js';
import type { Priority } from '../overload/admission.js';

/** The priority of a request before it is routed. */
export class Priorities {
  private readonly declared: [method: string, path: RegExp, priority: Priority][] = [];

  /** Adds a priority that a route declares. */
  add(method: string, path: RegExp, priority: Priority): void {
    this.declared.push([method, path, priority]);
  }

  of({ method = '', url = '' }: Pick<IncomingMessage, 'method' | 'url'>): Priority {
    const [sent] = splitUrl(url);
    // Decoded as the router does, or another spelling of the path would give another priority.
    const path = sent.includes('%') && canDecode(sent) ? decodeURIComponent(sent) : sent;
    const asked = method === 'HEAD' ? 'GET' : method;
    for (const [of, pattern, priority] of this.declared) if (of === asked && pattern.test(path)) return priority;
    return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
  }
}
