import { createApp } from '../../src/app.js';
import type { Added } from '../../src/app.module.js';
import { loadConfig } from '../../src/config.js';
import { startApp, type TestApp, testEnvironment } from './app.js';
import { exchange } from './exchange.js';

const HOST = 'Host: localhost';
/** A request as bytes; a header line that begins with a line break is the body. */
export const bytes = (method: string, target: string, headers: string[] = [], version = '1.1', host = [HOST]): string =>
  `${method} ${target} HTTP/${version}\r\n${[...host, ...headers].join('\r\n')}\r\n${headers.at(-1)?.startsWith('\r\n') ? '' : '\r\n'}`;

const CONTINUE = /^HTTP\/1\.1 100 Continue\r\n\r\n/;
const MADE_UP = /[\w-]{12}\.\d{10}/g;

/** The answer to one request, with the parts that must be equal: the lines of the head in any order, and the body. */
export function partsOf(all: string): string[] {
  // The next answer's head would count as a body.
  const answer = all.replace(CONTINUE, '');
  const [head = ''] = answer.split('\r\n\r\n', 1);
  const lines = head.split('\r\n').map((line) => line.replace(/^[^:]+:/, (name) => name.toLowerCase()));
  const same = lines.filter((line) => !/^(?:date|ratelimit): /.test(line)).sort();
  return [String(answer === all), ...same, answer.slice(head.length)].map((part) => part.replace(MADE_UP, 'an id'));
}

/** Two apps on one database: with the edge and without it. */
export class BothWays {
  private constructor(
    /** The app with the edge. */
    readonly app: TestApp,
    readonly urls: string[],
    readonly close: () => Promise<void>,
  ) {}

  /** @param settings of both @param added modules that are not built in */
  static async start(settings: Record<string, string> = {}, added?: Added): Promise<BothWays> {
    const app = await startApp(settings, added);
    const config = loadConfig({ ...testEnvironment(app.database.url), ...settings, EDGE: 'false' });
    const plain = await createApp(config, undefined, added);
    const urls = [app.url, await plain.listen()];
    return new BothWays(app, urls, async () => {
      await plain.stop();
      await app.close();
    });
  }

  /** Sends requests to both, uncached and cached, and expects equal answers. @returns the number of answers by status */
  async compare(requests: string[]): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    const differences: unknown[] = [];
    for (const request of requests) {
      for (const heat of ['cold', 'warm']) {
        const answers = await Promise.all(this.urls.map((url) => exchange(url, request)));
        const [edge = [], pipeline = []] = answers.map(partsOf);
        const isOther = (other: string[]) => (part: string) => !other.includes(part);
        const difference = [edge.filter(isOther(pipeline)), pipeline.filter(isOther(edge))];
        if (edge.join() !== pipeline.join()) differences.push([request, heat, ...difference]);
        const status = edge.find((part) => part.startsWith('HTTP/'))?.slice(9, 12) ?? 'none';
        found[status] = (found[status] ?? 0) + 1;
      }
    }
    expect(differences).toEqual([]);
    return found;
  }
}
