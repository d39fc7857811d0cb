import { asPublic, publicHeaders, publicPathOf } from './public-path.js';

it.each([
  ['https://api.example.com', ''],
  ['https://api.example.com/', ''],
  ['https://example.com/floodgate', '/floodgate'],
  ['https://example.com/api/flood%20gate/', '/api/flood%20gate'],
])('of %s, clients write %j before every path', (url, path) => {
  expect(publicPathOf({ PUBLIC_URL: url } as never)).toBe(path);
});

it.each([
  ['/', '/$&/'],
  ['/api/v1/data', '/$&/api/v1/data'],
  ['</api/v1/data?cursor=a%3C/b>; rel="next"', '</$&/api/v1/data?cursor=a%3C/b>; rel="next"'],
  ['</a>; rel="next", </b>; rel="prev"', '</$&/a>; rel="next", </$&/b>; rel="prev"'],
  // No path of this server, or a character of one.
  ...['*', 'http://localhost/api', '<https://example.com/a>; rel="help"', 'W/"1"', 'no-cache'].map((text) => [
    text,
    text,
  ]),
  ['/a</b', '/$&/a</b'],
])('%s is %s to them', (text, told) => {
  expect(asPublic('/$&', text)).toBe(told);
  expect(asPublic('', text)).toBe(text);
});

it('headers keep their order', () => {
  const headers = { 'cache-control': 'no-cache', link: '</a>; rel="next"', location: '/b' };
  expect(Object.entries(publicHeaders('/x', headers))).toEqual([
    ['cache-control', 'no-cache'],
    ['link', '</x/a>; rel="next"'],
    ['location', '/x/b'],
  ]);
});
