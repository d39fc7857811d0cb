import fc from 'fast-check';
import { mergePatch } from './merge-patch.js';

// The examples of RFC 7396, appendix A: original, patch, result.
const examples: [string, string, string][] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
];

it.each(examples)('patches %s with %s as RFC 7396 says: %s', (original, patch, result) => {
  expect(mergePatch(JSON.parse(original), JSON.parse(patch))).toEqual(JSON.parse(result));
});

it('keeps nulls in arrays and in untouched members', () => {
  expect(mergePatch({ a: null, b: 1 }, { b: [null, { c: null }] })).toEqual({
    a: null,
    b: [null, { c: null }],
  });
});

it('changes neither of its inputs, and is idempotent', () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }));
  fc.assert(
    fc.property(object, object, (target, patch) => {
      const before = JSON.stringify([target, patch]);
      const once = mergePatch(target, patch);
      expect(JSON.stringify([target, patch])).toBe(before);
      expect(mergePatch(once, patch)).toEqual(once);
    }),
  );
});

it('treats a name such as __proto__ as any other', () => {
  const merged = mergePatch({}, JSON.parse('{"__proto__":{"polluted":1},"toString":null}'));
  expect(JSON.stringify(merged)).toBe('{"__proto__":{"polluted":1}}');
  expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});
