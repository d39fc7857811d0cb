import type { MadeCollection } from './collections.js';

interface Made {
  path: string;
  id: string;
}

/** Valid and invalid queries of a list. */
const queriesOf = (cursor: string): string[] =>
  [
    `limit=2 limit=2&cursor=${cursor} limit=3&cursor=${cursor} order=asc order=asc&limit=500 order=asc&cursor=${cursor}`,
    'order=up limit=0 limit=-1 limit=x limit=2&limit=3 limit limit= limit=%32 limit=%ff limit=%00 limit=+2 limit=%ef%bf%bd',
    '%6Cimit=2 limit=2& limit=2#x limit=2? ?limit=2 & cursor=x unknown=1 a[b]=1 __proto__=1 constructor=1',
    'from=2001-01-03T00:00:00Z from=2001-01-03T01:00:00%2B01:00&to=2001-01-05T00:00:00Z to=x from=',
    `where=%7B%22n%22:4%7D where=%7B%22n%22:4 where=%5B%5D where= x=${'&'.repeat(120)}`,
  ].flatMap((line) => line.split(' '));

/** Paths of all reads of data, and nearly valid ones. The first five: two records, a collection, its list, a private record. */
export function addresses(
  set: MadeCollection,
  hidden: MadeCollection,
  { small, large, secret }: Record<'small' | 'large' | 'secret', Made>,
  cursor: string,
): string[] {
  const { id } = small;
  const ids = [id.toUpperCase(), secret.id, 'x', '0198c0de', id.slice(1), `${id}0`, `%30${id.slice(1)}`];
  const nothing = ['0198c0de-0000-7000-8000-000000000000', 'export', 'bulk', '%00'];
  return [
    ...[small.path, large.path, set.path, set.records, secret.path, hidden.path, hidden.records],
    ...[`${hidden.records}?limit=x`, `${secret.path}?x=1`, `${hidden.records}/${id}`, `${set.records}?`],
    ...queriesOf(cursor).map((query) => `${set.records}?${query}`),
    ...['?', '?x=1', '/', '//', '%20', '%00', '%zz', '#x', ';x', '/../x'].map((end) => small.path + end),
    ...['?', '?x=1', '/', '%73', '/stats', '/stats?bucket=month', '/stats?bucket=x', '/nothing'].map(
      (end) => set.path + end,
    ),
    ...[...ids, ...nothing].map((one) => `${set.records}/${one}`),
    ...[
      'nothing',
      'nothing/records',
      `nothing/records/${id}`,
      'nothing/records/x',
      'X',
      'X/records',
      'X/records/x',
      `X/records/${id}`,
      '-',
      'a'.repeat(64),
      '',
      '?limit=1',
    ].map((end) => `/api/v1/data/${end}`),
    ...[
      '/api/v1/data',
      '/api/v1/data?limit=1',
      '/api',
      '/health/live',
      '/',
      '*',
      '/.well-known/jwks.json',
      '/api/v1/users',
    ],
    ...[small.path.toUpperCase(), `http://localhost${small.path}`, `http://other.example${set.records}?limit=1`],
    ...['/api/v1/users/me', `/${small.path}`, `${set.records}/`, `/api/v1//data/${set.name}`],
  ];
}

/**
 * Sets of header lines for reads; a line that begins with a line break is the body.
 * @param tags those of a small record, a large one and their collection
 */
export function headerSets([small = '', large = '', set = '']: string[], token = ''): string[][] {
  const gzip = large.replace(/"$/, '-gzip"');
  const known = [small, large, set, `W/${large}`, gzip, `"x", ${large} , W/"y"`, '*', ' * ', '"x"', ''];
  known.push(large.slice(1, -1), `${large},`, `${gzip}, ${small}`);
  const each = (name: string, values: string) => values.split('|').map((value) => [`${name}: ${value}`]);
  return [
    ...known.map((tag) => [`If-None-Match: ${tag}`]),
    ...known.map((tag) => [`If-None-Match: ${tag}`, 'Accept-Encoding: gzip']),
    [`If-None-Match: "x"`, `If-None-Match: ${large}`],
    ...each(
      'Accept-Encoding',
      'gzip|br|gzip, br|identity|identity;q=0|gzip, identity;q=0|*;q=0|br;q=0, *|zstd|gzip, deflate, br, zstd|',
    ),
    ['Accept-Encoding: gzip', 'Accept-Encoding: br'],
    ...each('Accept', '*/*|application/json|application/problem+json|text/html|text/html, */*;q=0.1|application/*|'),
    ...each('Origin', 'https://shop.example.com|https://evil.example.com|null|'),
    ['Origin: https://shop.example.com', `If-None-Match: ${large}`, 'Accept-Encoding: br'],
    ...each('x-request-id', 'mine-1|not one'),
    ['x-request-id: a', 'x-request-id: b'],
    ...each('Connection', 'close|keep-alive|Keep-Alive|keep-alive, x|upgrade'),
    ...each('Authorization', `Bearer ${token}|Bearer x|`),
    ['Content-Length: 2', '\r\n{}'],
    ['Content-Length: 0'],
    ['Transfer-Encoding: chunked', '\r\n0\r\n'],
    ['Content-Encoding: gzip'],
    ...each('Expect', '100-continue|x'),
    ['Upgrade: h2c', 'Connection: Upgrade'],
    ['Range: bytes=0-3'],
    ['Cookie: a=b', 'Cache-Control: no-cache', 'If-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT'],
    ['If-Match: "x"'],
  ];
}
