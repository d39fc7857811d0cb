import type { Client } from '../support/client.js';
import { pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { at } from './faults.js';
import type { House, Replica } from './house.js';
import type { Planned } from './plan.js';

type Scene = Pick<Planned, 'where' | 'degree' | 'forMs'> & { house: House };

/** A different address from that of all well-behaved callers, so that limits on this one do not affect them. */
const ADDRESS = '127.0.0.2';
const SOCKETS = 4;
/** More requests on each socket than the limit allows in all. */
const BURST = 800;

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`;
const bearer = ({ tokens }: Client) => `authorization: Bearer ${tokens?.accessToken}\r\n`;

/** One user reads one record far more often than allowed. */
export async function burst({ house, where, forMs }: Scene): Promise<void> {
  const request = get(house.target, bearer(house.burster));
  const send = async (replica: Replica) => {
    const socket = openSocket(replica.url, ADDRESS);
    let text = '';
    socket.setEncoding('latin1').on('data', (piece) => {
      text += piece;
    });
    socket.write(request.repeat(BURST));
    await pause(forMs - 200);
    socket.destroy();
    for (const [, status = '', headers = ''] of text.matchAll(/HTTP\/1\.1 (\d+) [^\r]*\r\n([\s\S]*?)\r\n\r\n/g)) {
      house.burstAnswers[status] = (house.burstAnswers[status] ?? 0) + 1;
      if (!['200', '429', '503'].includes(status)) replica.flaws.push(`a burst was answered with ${status}`);
      if (status === '429' && !/^retry-after: [1-9]/im.test(headers)) replica.flaws.push('a 429 without Retry-After');
    }
  };
  await Promise.all(at(house, where).flatMap((replica) => Array.from({ length: SOCKETS }, () => send(replica))));
}

/** Opens sockets that send headers or a body byte by byte. */
export async function loris({ house, where, degree }: Scene): Promise<() => void> {
  const sockets = at(house, where).flatMap((replica) =>
    Array.from({ length: 20 + Math.round(100 * degree) }, (_, index) => {
      const socket = openSocket(replica.url, ADDRESS);
      const headers = `${bearer(house.burster)}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{`;
      socket.write(index % 2 ? 'GET / HTTP/1.1\r\nx-slow: ' : `POST ${house.target} HTTP/1.1\r\nhost: x\r\n${headers}`);
      socket.resume();
      return socket;
    }),
  );
  const timer = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write('a');
  }, 500);
  return () => {
    clearInterval(timer);
    for (const socket of sockets) socket.destroy();
  };
}

/** Callers who hang up before, during and after their answers. */
export async function hangUp({ house, where, forMs }: Scene): Promise<void> {
  const { records } = house.set;
  const upload = `${bearer(house.burster)}content-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n`;
  const line = `${JSON.stringify({ data: { text: 'x'.repeat(500) } })}\n`;
  const requests = [
    get(records, bearer(house.burster)),
    get(`${records}/export`, bearer(house.burster)),
    get(`${records}/export`, bearer(house.burster)).slice(0, -10),
    `POST ${records}/bulk?atomic=true HTTP/1.1\r\nhost: x\r\n${upload}${line.repeat(20)}`,
    `POST ${records}/bulk HTTP/1.1\r\nhost: x\r\n${upload}${line}`,
  ];
  for (const until = Date.now() + forMs; Date.now() < until; await pause(10)) {
    for (const { url } of at(house, where)) {
      const socket = openSocket(url, ADDRESS);
      socket.write(requests[Math.floor(Math.random() * requests.length)] as string);
      setTimeout(() => socket.destroy(), Math.random() * 40);
    }
  }
}

/** Sends requests that must always be refused. */
export async function forge({ house, where }: Scene): Promise<void> {
  const { records } = house.set;
  const none = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.';
  const post = (body: string, headers = '') =>
    `POST ${records} HTTP/1.1\r\nhost: x\r\n${bearer(house.burster)}content-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const requests = [
    get('/api/v1/users/me', `authorization: Bearer ${none}\r\n`),
    get('/api/v1/users/me', `authorization: Bearer ${house.burster.tokens?.accessToken}x\r\n`),
    get('/api/v1/users/me'),
    get(`${records}?limit=-1`),
    get(`${records}?cursor=forged`),
    get(`${records}/%00`),
    get('/api/v1/data/%ff'),
    post('{"data":{"__proto__":{"a":1}}}'),
    post(`{"data":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`),
    post('{"data":{"a":"\\u0000"}}'),
    post('{"data":{"a":9007199254740993}}'),
    post('{"data":'),
    post('{"data":{}}', 'transfer-encoding: chunked\r\n'),
    `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`,
    'not HTTP at all\r\n\r\n',
  ];
  const send = async (replica: Replica, request: string) => {
    const socket = openSocket(replica.url, ADDRESS);
    let text = '';
    socket.setEncoding('latin1').on('data', (piece) => {
      text += piece;
    });
    socket.write(request);
    await pause(900);
    socket.destroy();
    for (const [, status = ''] of text.matchAll(/HTTP\/1\.1 (\d+)/g)) {
      house.forgedAnswers++;
      if (!status.startsWith('4') && status !== '503')
        replica.flaws.push(`${JSON.stringify(request.slice(0, 200))} was answered with ${text.slice(0, 500)}`);
    }
  };
  await Promise.all(at(house, where).flatMap((replica) => requests.map((request) => send(replica, request))));
}
