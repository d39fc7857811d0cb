// A separate thread, so that the callers do not slow down the measurements: see `hangUp` in crowd.ts.
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

interface Caller {
  bytes: string;
  /** Hangs up this long after sending, or when this many bytes of the answer have arrived. */
  afterMs?: number;
  afterBytes?: number;
}

const { port, callers, count, atOnce } = workerData as {
  port: number;
  callers: Caller[];
  count: number;
  atOnce: number;
};

/** Half of them close the connection, and half reset it, as when a process dies. */
function call({ bytes, afterMs, afterBytes }: Caller, isReset: boolean): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let received = 0;
    const leave = () => void (isReset ? socket.resetAndDestroy() : socket.destroy());
    socket.on('error', () => {}).on('close', () => resolve(received));
    socket.on('data', (chunk) => {
      received += chunk.length;
      if (afterBytes !== undefined && received >= afterBytes) leave();
    });
    socket.on('connect', () => {
      socket.write(Buffer.from(bytes, 'latin1'), () => {
        if (afterMs !== undefined) setTimeout(leave, afterMs);
      });
    });
    setTimeout(leave, 5000).unref();
  });
}

let next = 0;
let answered = 0;
const lane = async () => {
  while (next < count) {
    const at = next++;
    const received = await call(callers[at % callers.length] as Caller, Math.floor(at / callers.length) % 2 === 1);
    if (received > 0) answered++;
  }
};
await Promise.all(Array.from({ length: atOnce }, lane));
parentPort?.postMessage({ answered });
