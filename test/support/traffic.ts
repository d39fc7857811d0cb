import { once } from 'node:events';
import { Agent, request } from 'node:http';
import type { Client } from './client.js';
import { pause } from './process.js';

const READERS = 8;
const WRITERS = 4;
/** The pause between an answer and the next request on its connection. */
const THINK_MS = 5;

/** Anonymous readers, and writers, each on a persistent connection. Nobody retries. */
export class Traffic {
  readonly failures: string[] = [];
  /** The ids of acknowledged records. */
  readonly created: string[] = [];
  reads = 0;
  private readonly agent = new Agent({ keepAlive: true });
  private readonly all: Promise<void>[];
  private isOver = false;

  /** @param paths to read, in turn */
  constructor(
    private readonly writer: Client,
    paths: string[],
    collection: string,
  ) {
    const read = async () => {
      const answer = await this.ask('GET', paths[this.reads % paths.length] as string);
      if (answer) this.reads++;
    };
    const write = async () => {
      const answer = await this.ask('POST', collection, JSON.stringify({ data: { n: this.created.length } }));
      if (answer) this.created.push(answer.id);
    };
    const works = [...Array(READERS).fill(read), ...Array(WRITERS).fill(write)];
    this.all = works.map((work) => this.repeat(work));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.all);
    this.agent.destroy();
  }

  private async repeat(work: () => Promise<void>): Promise<void> {
    while (!this.isOver) {
      await work();
      await pause(THINK_MS);
    }
  }

  /** @returns the body, or nothing when it failed */
  private async ask(method: string, path: string, body?: string): Promise<{ id: string } | undefined> {
    const authorization = `Bearer ${this.writer.tokens?.accessToken}`;
    const headers = body === undefined ? {} : { 'content-type': 'application/json', authorization };
    try {
      const sent = request(this.writer.url + path, { agent: this.agent, method, headers }).end(body);
      const [response] = await once(sent, 'response');
      let text = '';
      for await (const chunk of response) text += chunk;
      if (response.statusCode < 300) return JSON.parse(text);
      this.failures.push(`${method} ${path}: ${response.statusCode} ${text}`);
    } catch (error) {
      this.failures.push(`${method} ${path}: ${error}`);
    }
    return undefined;
  }
}
