import { type Place, parseRedisUrl } from './url.js';

const at = (...texts: string[]) =>
  texts.map((text) => ({ host: text.slice(0, text.lastIndexOf(':')), port: Number(text.split(':').at(-1)) }));

describe('REDIS_URL', () => {
  it.each<[string, Partial<Place>]>([
    ['redis://cache', { kind: 'redis', addresses: at('cache:6379'), tls: false, database: 0 }],
    ['rediss://u:p%40@cache:1/3', { addresses: at('cache:1'), tls: true, username: 'u', password: 'p@', database: 3 }],
    ['redis://:a,b:c@cache/', { addresses: at('cache:6379'), password: 'a,b:c' }],
    ['redis://[::1]:2,[fe80::1]', { addresses: at('::1:2', 'fe80::1:6379') }],
    ['redis://a:1,b:2/4', { addresses: at('a:1', 'b:2'), database: 4 }],
    ['redis://:p@a:1,redis://:p@b:2', { addresses: at('a:1', 'b:2'), password: 'p' }],
    ['redis+sentinel://a,b:1/mymaster', { kind: 'sentinel', addresses: at('a:26379', 'b:1'), primary: 'mymaster' }],
    ['rediss+sentinel://u:p@a/m.1-x/2', { tls: true, username: 'u', password: 'p', primary: 'm.1-x', database: 2 }],
    ['redis+cluster://a,b:1', { kind: 'cluster', addresses: at('a:6379', 'b:1'), tls: false }],
    ['rediss+cluster://:p@a/0', { kind: 'cluster', addresses: at('a:6379'), tls: true, password: 'p' }],
  ])('%s', (url, place) => {
    expect(parseRedisUrl(url)).toMatchObject(place);
  });

  it.each([
    ['http://cache', /^must be a URL that begins with redis:\/\/ or rediss:\/\/, /],
    ['redis+other://cache', /^must be a URL that begins with/],
    ['cache:6379', /^must be a URL that begins with/],
    ['redis://', /^must have a host/],
    ['redis://a,,b', /^must have a host/],
    ['redis://a:1,b:port', /^must have a host/],
    ['redis://a:70000', /^must have a host/],
    ['redis://:50%@a', /%25$/],
    ['redis://a?db=1', /^must not have a \? or #/],
    ['redis://a/cache', /^must have a database number/],
    ['redis://:p@a,redis://:other@b', /^must have one scheme, user and password for all of its hosts$/],
    ['redis://a,rediss://b', /^must have one scheme/],
    ['redis+sentinel://a,b', /^must have the primary's name/],
    ['redis+sentinel://a/x/y', /^must have the primary's name/],
    ['redis+cluster://a/1', /^must have no path/],
  ])('%s is refused in one sentence', (url, sentence) => {
    expect(() => parseRedisUrl(url)).toThrow(sentence);
  });
});
