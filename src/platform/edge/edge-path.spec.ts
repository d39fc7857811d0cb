import fc from 'fast-check';
import fastify from 'fastify';
import { namesOf, pathOf } from './edge-path.js';

const name = fc.constantFrom('users', 'me', 'records', 'export', 'a-b', 'v1', 'x.y');
const part = fc.oneof(name, fc.constantFrom(':id', ':other'));
const template = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
/** Templates that differ only in the names of parameters are one route to the router. */
const shapeOf = (text: string) => text.replace(/:\w+/g, ':');
const templates = fc.uniqueArray(template, { minLength: 1, maxLength: 6, selector: shapeOf });
/** Without `.` and `..`, which the test's client would resolve. */
const text = fc.stringMatching(/^[A-Za-z0-9._~-]{1,5}$/).filter((one) => !/^\.+$/.test(one));
const path = fc.array(fc.oneof(name, text), { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);

it('matches the template that the router would take, with the same parameters', async () => {
  const seen = { found: 0, none: 0 };
  const property = fc.asyncProperty(templates, fc.array(path, { minLength: 10, maxLength: 10 }), async (all, paths) => {
    const app = fastify();
    for (const url of all) app.get(url, async ({ params }) => ({ url, params }));
    try {
      for (const asked of paths) {
        const answer = await app.inject(asked);
        const expected = answer.statusCode === 200 ? answer.json() : undefined;
        const fitting = all.filter((one) => pathOf(one, all).test(asked));
        expect([all, asked, fitting]).toEqual([all, asked, expected ? [expected.url] : []]);
        seen[expected ? 'found' : 'none']++;
        if (!expected) continue;
        const [, ...values] = pathOf(expected.url, all).exec(asked) as string[];
        expect(Object.fromEntries(namesOf(expected.url).map((one, i) => [one, values[i]]))).toEqual(expected.params);
      }
    } finally {
      await app.close();
    }
  });
  await fc.assert(property, { numRuns: 300 });
  expect(Math.min(seen.found, seen.none)).toBeGreaterThan(100);
});

it('leaves paths that are too long or need decoding to the pipeline', () => {
  const users = pathOf('/users/:id', ['/users/:id', '/users/me']);
  for (const text of [
    '/users/%61',
    '/users/a b',
    '/users/',
    '/users/a/',
    '/users/me',
    `/users/${'a'.repeat(201)}`,
    '/users/a\n',
  ])
    expect([text, users.test(text)]).toEqual([text, false]);
  for (const text of ['/users/mea', '/users/ME', `/users/${'a'.repeat(200)}`]) expect(users.test(text)).toBe(true);
});
