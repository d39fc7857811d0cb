/** A class of kubernetes-models. */
export interface Model {
  prototype: { validate(): void };
}

/** What a schema of kubernetes-models says of a value, and which of its fields the schema does not know. */
export function complaintsBy(model: Model, value: unknown): string[] {
  const looked = new Set<string>();
  const said: string[] = [];
  try {
    model.prototype.validate.call(watched(value, '', looked) as Model['prototype']);
  } catch (error) {
    said.push(...(error as Error).message.split(', '));
  }
  const unknown = pathsOf(value).filter((path) => !looked.has(path));
  return [...said, ...unknown.map((path) => `${path} is not a field`)];
}

/** The schemas are compiled, and let unknown fields pass. But a field that nothing looks at is one that they do not know. */
function watched(value: unknown, path: string, looked: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return new Proxy(value, {
    get(target, key, receiver) {
      const child = Reflect.get(target, key, receiver);
      if (typeof key !== 'string' || !Object.hasOwn(target, key)) return child;
      looked.add(`${path}/${key}`);
      return watched(child, `${path}/${key}`, looked);
    },
  });
}

function pathsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => [`${path}/${key}`, ...pathsOf(child, `${path}/${key}`)]);
}
