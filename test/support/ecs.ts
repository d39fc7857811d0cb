import { isIP } from 'node:net';
import { EcsFlat } from '@elastic/ecs';

const FIELDS = EcsFlat as Record<string, { type: string; required?: boolean }>;
/** The fields that ECS requires of every event and of a line of a log. */
const REQUIRED = ['@timestamp', 'ecs.version', 'log.level', 'message'];

const isText = (value: unknown) => typeof value === 'string';
const isWhole = (value: unknown) => Number.isSafeInteger(value);
const CHECKS: Record<string, (value: unknown) => boolean> = {
  keyword: isText,
  constant_keyword: isText,
  wildcard: isText,
  text: isText,
  match_only_text: isText,
  long: isWhole,
  date: (value) =>
    isText(value) && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value)) && !Number.isNaN(Date.parse(String(value))),
  ip: (value) => isText(value) && isIP(String(value)) > 0 && !String(value).includes('%'),
  boolean: (value) => typeof value === 'boolean',
};

/** The fields of a line that Elasticsearch would refuse or not index, by the field types of the Elastic Common Schema. */
export function flawsOf(line: string): string[] {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return [`not JSON: ${line}`];
  }
  const fields = flatten(entry);
  const names = fields.map(([name]) => name);
  return [
    ...REQUIRED.filter((name) => !names.includes(name)).map((name) => `${name} is missing: ${line}`),
    ...names.filter((name, at) => names.indexOf(name) < at).map((name) => `${name} is there twice: ${line}`),
    ...fields.flatMap(([name, value]) => {
      const type = FIELDS[name]?.type;
      if (type === undefined) return [`${name} is no field of ECS: ${line}`];
      const check = CHECKS[type];
      if (!check) return [`${name} is of a type that is not checked here: ${type}`];
      return check(value) ? [] : [`${name} is no ${type}: ${JSON.stringify(value)}`];
    }),
  ];
}

/** Names of fields with dots, whether they are written with dots or nested: Elasticsearch treats both alike. */
export function flatten(value: unknown, name = ''): [name: string, value: unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, value]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, name ? `${name}.${key}` : key));
}
