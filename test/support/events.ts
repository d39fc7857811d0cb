import type { Client } from './client.js';

/** An event of a stream, by the standard's rules (https://html.spec.whatwg.org/#event-stream-interpretation). */
export interface ReceivedEvent {
  id: string;
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests check its shape
  data: any;
}

/** A reader of server-sent events that shows all that a browser's EventSource hides: comments, retry and the end. */
export class EventReader {
  readonly events: ReceivedEvent[] = [];
  readonly retries: number[] = [];
  comments = 0;
  /** What EventSource would send as Last-Event-ID. */
  lastId = '';
  isOver = false;
  /** When it ended, after how many ms since its head. */
  endedAfterMs = 0;
  private readonly abort = new AbortController();
  private readonly begun = performance.now();

  private constructor(readonly response: globalThis.Response) {
    void this.read();
  }

  static async open(client: Client, path: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(client.url + path, {
      headers: {
        accept: 'text/event-stream',
        ...(client.tokens ? { authorization: `Bearer ${client.tokens.accessToken}` } : {}),
        ...headers,
      },
      signal: abort.signal,
    });
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const reader = new EventReader(response);
    reader.abort.signal.addEventListener('abort', () => abort.abort());
    return reader;
  }

  /** The first events, once there are so many. */
  async first(count: number, timeoutMs = 10_000): Promise<ReceivedEvent[]> {
    for (const deadline = Date.now() + timeoutMs; this.events.length < count; ) {
      if (Date.now() > deadline) throw new Error(`only ${this.events.length} events: ${JSON.stringify(this.events)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return this.events.slice(0, count);
  }

  /** Resolves when the server has ended the stream. */
  async end(timeoutMs = 10_000): Promise<void> {
    for (const deadline = Date.now() + timeoutMs; !this.isOver; ) {
      if (Date.now() > deadline) throw new Error('the stream goes on');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  close(): void {
    this.abort.abort();
  }

  private async read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const part of this.response.body as unknown as AsyncIterable<Uint8Array>) {
        text += decoder.decode(part, { stream: true });
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          this.take(text.slice(0, end));
          text = text.slice(end + 2);
        }
      }
    } catch {
      // Closed by the test, or broken off by the server.
    }
    this.isOver = true;
    this.endedAfterMs = performance.now() - this.begun;
  }

  private take(block: string): void {
    const fields = { event: 'message', data: [] as string[] };
    for (const line of block.split('\n')) {
      const [name = '', value = ''] = [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()];
      if (name === '') this.comments++;
      else if (name === 'id') this.lastId = value;
      else if (name === 'retry') this.retries.push(Number(value));
      else if (name === 'event') fields.event = value;
      else if (name === 'data') fields.data.push(value);
      else throw new Error(`an unknown field: ${line}`);
    }
    if (fields.data.length === 0) return;
    this.events.push({ id: this.lastId, event: fields.event, data: JSON.parse(fields.data.join('\n')) });
  }
}
