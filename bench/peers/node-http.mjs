// The wall: what Node itself can do with a constant answer.
import { createServer } from 'node:http';
import { constant, port } from './shared.mjs';

const body = Buffer.from(constant);

createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length });
  response.end(body);
}).listen(port, '127.0.0.1');
