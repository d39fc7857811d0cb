import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** An event as a receiver got it. */
export interface Received {
  id: string;
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any form.
  data: any;
  headers: IncomingHttpHeaders;
  at: number;
}

type Behaviour = (response: ServerResponse, event: Received) => unknown;

export const answerWith =
  (status: number, headers: Record<string, string> = {}, body = ''): Behaviour =>
  (response) =>
    response.writeHead(status, headers).end(body);
export const accept = answerWith(204);

/** A receiver of webhooks that checks signatures by the library of Standard Webhooks. */
export class Receiver {
  /** All events, and those that it has accepted. */
  readonly received: Received[] = [];
  readonly accepted: Received[] = [];
  secret = '';
  /** Requests without a valid signature. */
  forged = 0;
  behaviour: Behaviour = accept;

  private constructor(private readonly server: Server) {
    server.on('request', async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      let event: Received;
      try {
        const verified = new Webhook(this.secret).verify(
          Buffer.concat(chunks).toString(),
          request.headers as Record<string, string>,
        ) as Received;
        event = { ...verified, id: request.headers['webhook-id'] as string, headers: request.headers, at: Date.now() };
      } catch {
        this.forged++;
        return void response.writeHead(401).end();
      }
      this.received.push(event);
      await this.behaviour(response, event);
      if (response.writableEnded && response.statusCode < 300) this.accepted.push(event);
    });
  }

  static async start(port = 0): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', resolve);
    });
    return new Receiver(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  /** The numbers of the records in the events that it has accepted. */
  get numbers(): number[] {
    return this.accepted.map(({ data }) => data.data?.n);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }
}
