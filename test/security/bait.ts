import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that nothing may contact: whoever does has used an address from a caller or an answer. */
export class Bait {
  /** The number of connections to it. */
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
