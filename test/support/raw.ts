import { connect, type Socket } from 'node:net';

/** An answer read from the bytes of a connection. */
export interface RawAnswer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests check its shape
  body: any;
}

/** A raw connection, for bytes that no HTTP client would send; optionally from another address of this machine. */
export function openSocket(url: string, localAddress?: string): Socket {
  const { hostname: host, port } = new URL(url);
  // An unclean end shows in the received bytes.
  return connect({ port: Number(port), host, localAddress }).on('error', () => {});
}

/** Sends exactly these bytes and reads the first answer. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<RawAnswer> {
  const socket = openSocket(url);
  socket.write(bytes);
  return readAnswer(socket);
}

/** The first whole answer on a connection, which is then closed. An answer without Content-Length counts as one without a body. */
export function readAnswer(socket: Socket, timeoutMs = 15_000): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let received = '';
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (parse(received)) socket.destroy();
    });
    socket.on('close', () => {
      clearTimeout(timer);
      const answer = parse(received);
      if (answer) resolve(answer);
      else reject(new Error(`no whole answer came: ${JSON.stringify(received.slice(0, 200))}`));
    });
  });
}

/** @returns undefined as long as the answer is not whole */
function parse(received: string): RawAnswer | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = received.slice(0, end).split('\r\n');
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const length = Number(headers.get('content-length'));
  const bytes = Buffer.from(received.slice(end + 4), 'latin1');
  if (bytes.length < length) return undefined;
  const text = bytes.subarray(0, length).toString('utf8');
  const isJson = /[/+]json/.test(headers.get('content-type') ?? '');
  return {
    status: Number(statusLine.split(' ')[1]),
    headers,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
  };
}
