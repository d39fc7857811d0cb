import { idOf, type Manifest } from './objects.js';

/** Whether an object has this id, apart from the hash of its name. */
export const isCalled = (object: Manifest, id: string) =>
  idOf(object).replace(/-[2456789bcdfghkmt]{10}$/, '') === id || idOf(object) === id;

/** A field's name from a JSON Pointer. */
export const plain = (key: string) => key.replaceAll('~1', '/');

export const at = (value: unknown, path: string) =>
  path
    .split('/')
    .slice(1)
    .reduce<Record<string, unknown>>((within, key) => within[plain(key)] as never, value as never);

/** Sets or removes a field. */
export function change(object: unknown, path: string, value: unknown): void {
  const end = path.lastIndexOf('/');
  const fields = at(object, path.slice(0, end));
  const key = plain(path.slice(end + 1));
  if (value === undefined && !(key in fields)) throw new Error(`${path} is not there to be taken away`);
  if (typeof value === 'function') fields[key] = value(fields[key]);
  else if (value !== undefined) fields[key] = value;
  else if (Array.isArray(fields)) fields.splice(Number(key), 1);
  else delete fields[key];
}

/** Every field of an object, except the keys of a map, which are arbitrary. */
export function fieldsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || MAP.test(path)) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const here = `${path}/${key.replaceAll('/', '~1')}`;
    return [...(Array.isArray(value) ? [] : [here]), ...fieldsOf(child, here)];
  });
}

const MAP =
  /\/(?:labels|annotations|data|matchLabels|requests|limits|parameters|config)$|^\/spec\/selector$|\/triggers\/\d+\/metadata$/;
