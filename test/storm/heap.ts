import { once } from 'node:events';
import type { Program } from '../support/process.js';

/** The memory of a process after a full garbage collection, in bytes. */
export interface Held {
  heapUsed: number;
  external: number;
  rss: number;
}

/** The inspector of a process, which must have been started with NODE_OPTIONS=--inspect=127.0.0.1:0. */
export class Inspector {
  private last = 0;

  private constructor(private readonly socket: WebSocket) {}

  static async of(program: Program): Promise<Inspector> {
    const [, url = ''] = await program.says(/Debugger listening on (ws:\S+)/);
    const socket = new WebSocket(url);
    await once(socket, 'open');
    return new Inspector(socket);
  }

  async held(): Promise<Held> {
    await this.call('HeapProfiler.collectGarbage');
    const expression = 'JSON.stringify(process.memoryUsage())';
    const { result } = (await this.call('Runtime.evaluate', { expression })) as { result: { value: string } };
    return JSON.parse(result.value);
  }

  close(): void {
    this.socket.close();
  }

  private call(method: string, params = {}): Promise<unknown> {
    const id = ++this.last;
    return new Promise((resolve) => {
      const hear = ({ data }: MessageEvent) => {
        const message = JSON.parse(data);
        if (message.id !== id) return;
        this.socket.removeEventListener('message', hear);
        resolve(message.result);
      };
      this.socket.addEventListener('message', hear);
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

/** The slope of values over time, by least squares. */
export function slope(points: [time: number, value: number][]): number {
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [time, value] = [mean(0), mean(1)];
  const rise = points.reduce((sum, [t, v]) => sum + (t - time) * (v - value), 0);
  return rise / points.reduce((sum, [t]) => sum + (t - time) ** 2, 0);
}
