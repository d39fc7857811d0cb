import type { Config } from './config.js';
import { serverUrl } from './docs.js';

it.each([
  ['http://localhost:3000', 3000, 'http://localhost:3000'],
  ['http://localhost:3000', 4000, 'http://localhost:4000'],
  ['http://localhost:3000', 0, 'http://localhost:3000'],
  ['https://api.example.com/v/', 4000, 'https://api.example.com/v'],
])('with PUBLIC_URL %s, listening on %i, names %s as the server', (PUBLIC_URL, PORT, url) => {
  expect(serverUrl({ PUBLIC_URL, PORT } as Config)).toBe(url);
});
