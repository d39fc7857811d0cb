import { asPublic, publicHeaders, publicPathOf } from './public-path.js';

it.each([
  ['https://api.example.com', ''],
  ['https://api.example.com/', ''],
  ['https://example.com/floodgate', '/floodgate'],
  ['https://example.com/api/flood%20gate/', '/api/flood%20gate'],
])('finds in %s the public path %j', (url, path) => {
  expect(publicPathOf({ PUBLIC_URL: url } as never)).toBe(path);
});

it.each([
  ['/', '/$&/'],
  ['/api/v1/data', '/$&/api/v1/data'],
  ['</api/v1/data?cursor=a%3C/b>; rel="next"', '</$&/api/v1/data?cursor=a%3C/b>; rel="next"'],
  ['</a>; rel="next", </b>; rel="prev"', '</$&/a>; rel="next", </$&/b>; rel="prev"'],
  // None of these is a path of this server.
  ...['*', 'http://localhost/api', '<https://example.com/a>; rel="help"', 'W/"1"', 'no-cache'].map((text) => [
    text,
    text,
  ]),
  ['/a</b', '/$&/a</b'],
])('turns %s into %s', (text, expected) => {
  expect(asPublic('/$&', text)).toBe(expected);
  expect(asPublic('', text)).toBe(text);
});

it('keeps the order of headers', () => {
  const headers = { 'cache-control': 'no-cache', link: '</a>; rel="next"', location: '/b' };
  expect(Object.entries(publicHeaders('/x', headers))).toEqual([
    ['cache-control', 'no-cache'],
    ['link', '</x/a>; rel="next"'],
    ['location', '/x/b'],
  ]);
});
