import { pathOf } from './edge-path.js';
import { Priorities } from './priorities.js';

it('knows a route however its path is spelt, and its method', () => {
  const priorities = new Priorities();
  const [login, bulk, records] = ['/auth/login', '/data/:collection/records/bulk', '/data/:collection/records/:id'];
  const all = [login, bulk, records] as string[];
  priorities.add('POST', pathOf(login as string, all), 'login');
  priorities.add('POST', pathOf(bulk as string, all), 'bulk');
  const of = (method: string, url: string) => priorities.of({ method, url });
  for (const url of ['/auth/login', '/auth/login?x=1', '/auth/logi%6e', '/%61uth/login'])
    expect(of('POST', url)).toBe('login');
  for (const url of ['/data/a/records/bulk', '/data/a/records/bul%6B?atomic=true'])
    expect(of('POST', url)).toBe('bulk');
  for (const url of ['/auth/login/', '/auth%2flogin%00x', '/auth/%zz']) expect(of('POST', url)).toBe('write');
  expect([of('GET', '/auth/login'), of('HEAD', '/x'), of('OPTIONS', '/x')]).toEqual(['read', 'read', 'read']);
});
