import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Whom nobody is to ask: whoever does has taken an address from a caller, or followed an answer to it. */
export class Bait {
  /** How often it was asked. */
  bitten = 0;
  private constructor(private readonly server: Server) {
    server.on('connection', () => this.bitten++);
  }

  static async start(): Promise<Bait> {
    const server = createServer((_, response) => response.end());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new Bait(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
