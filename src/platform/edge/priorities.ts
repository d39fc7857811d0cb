import type { IncomingMessage } from 'node:http';
import { canDecode, splitUrl } from '../http/split-url.js';
import type { Priority } from '../overload/admission.js';

/** Who comes first, before it is known which route a request leads to. */
export class Priorities {
  private readonly declared: [method: string, path: RegExp, priority: Priority][] = [];

  /** What a route declares of itself. */
  add(method: string, path: RegExp, priority: Priority): void {
    this.declared.push([method, path, priority]);
  }

  of({ method = '', url = '' }: Pick<IncomingMessage, 'method' | 'url'>): Priority {
    const [sent] = splitUrl(url);
    // As the router reads it: or who comes last would come first by another spelling.
    const path = sent.includes('%') && canDecode(sent) ? decodeURIComponent(sent) : sent;
    const asked = method === 'HEAD' ? 'GET' : method;
    for (const [of, pattern, priority] of this.declared) if (of === asked && pattern.test(path)) return priority;
    return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
  }
}
