import { openSocket } from './raw.js';

/**
 * The server's answer to a request, one character a byte.
 * @param request text is sent as UTF-8, bytes as they are
 * @param isAll reads until the server closes the connection; otherwise one answer, which has a length or no body
 */
export function exchange(url: string, request: string | Buffer, isAll = false): Promise<string> {
  const bytes = Buffer.from(request as string);
  const isHead = bytes.toString('latin1', 0, 5) === 'HEAD ';
  return new Promise((resolve, reject) => {
    const socket = openSocket(url);
    let received = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no whole answer came to ${request}: ${received.slice(0, 500)}`));
    }, 15_000);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (!isAll && isWhole(received, isHead)) socket.destroy();
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
    socket.write(bytes);
  });
}

function isWhole(received: string, isHead: boolean): boolean {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const head = received.slice(0, end);
  if (/^HTTP\/1\.1 100 /.test(head)) return isWhole(received.slice(end + 4), isHead);
  if (isHead || /^HTTP\/1\.1 (?:204|304) /.test(head)) return true;
  if (/^transfer-encoding: chunked/im.test(head)) return received.endsWith('0\r\n\r\n');
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  return length !== undefined && received.length >= end + 4 + Number(length);
}
