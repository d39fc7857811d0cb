import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Client } from './client.js';

/** An answer; its status is 0 when none came. */
export interface Outcome {
  /** The time of the request, as of Date.now(). */
  at: number;
  ms: number;
  what: string;
  status: number;
}

export interface Answer {
  status: number;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: its shape is checked by its readers
  body: any;
  etag: string;
  headers: IncomingMessage['headers'];
}

const NONE: Answer = { status: 0, text: '', body: undefined, etag: '', headers: {} };
/** Longer than any time-out of the app. */
const HANGS_AFTER_MS = 30_000;

/** Load on its own connections, which records every answer and every broken promise. */
export abstract class Load {
  readonly outcomes: Outcome[] = [];
  readonly violations: string[] = [];
  protected lanes: Promise<void>[] = [];
  protected isOver = false;
  private readonly agent = new Agent({ keepAlive: true });

  /** The number of answers of this kind between two times. */
  count(of: (outcome: Outcome) => boolean, from = 0, to = Number.POSITIVE_INFINITY): number {
    return this.outcomes.filter((outcome) => outcome.at >= from && outcome.at < to && of(outcome)).length;
  }
  /** The times of the answers to requests between two times, in milliseconds. */
  times(from = 0, to = Number.POSITIVE_INFINITY): number[] {
    return this.outcomes.filter(({ at, status }) => at >= from && at < to && status > 0).map(({ ms }) => ms);
  }

  /** Ends the load when running requests have been answered. */
  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.lanes);
    this.agent.destroy();
  }

  /** Records a broken promise and its time. */
  protected wrong(what: string): void {
    this.violations.push(`${new Date().toISOString().slice(11, 23)} ${what}`);
  }

  /** @param body text is sent as it is, anything else as JSON */
  protected async ask(
    client: Client,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    isAnonymous = false,
  ): Promise<Answer> {
    const at = Date.now();
    const begun = performance.now();
    const sent = request(client.url + path, {
      agent: this.agent,
      method,
      headers: {
        ...(isAnonymous ? {} : { authorization: `Bearer ${client.tokens?.accessToken}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    const what = `${method} ${path.replaceAll(/[0-9a-f-]{36}/g, '…')}`;
    const hangs = setTimeout(() => {
      this.wrong(`${what} had no answer for ${HANGS_AFTER_MS} ms`);
      sent.destroy();
    }, HANGS_AFTER_MS);
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await answerOf(sent.end(body === undefined ? undefined : text)).catch(() => NONE);
    clearTimeout(hangs);
    this.outcomes.push({ at, ms: performance.now() - begun, what, status: answer.status });
    if (answer.status === 500) this.wrong(`${what} was answered with 500: ${answer.text}`);
    return answer;
  }
}

async function answerOf(sent: ReturnType<typeof request>): Promise<Answer> {
  const [response]: [IncomingMessage] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  const isJson = /[/+]json/.test(response.headers['content-type'] ?? '');
  return {
    status: response.statusCode ?? 0,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
    etag: response.headers.etag ?? '',
    headers: response.headers,
  };
}
