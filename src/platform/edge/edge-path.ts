/** A path segment without escapes. The pipeline reads those with escapes. */
const PART = '[A-Za-z0-9._~-]{1,200}';

/** The names of a template's parameters, in order. */
export const namesOf = (template: string): string[] =>
  [...template.matchAll(/:(\w+)/g)].map(([, name]) => name as string);

/**
 * A pattern for the paths of a template, with a group for each parameter. When a path fits two templates, the router
 * takes the one whose leftmost differing segment is literal: `/users/me` does not match `/users/:id`.
 */
export function pathOf(template: string, templates: string[]): RegExp {
  const others = templates.filter((other) => goesBefore(other, template)).map((other) => `${textOf(other, PART)}$`);
  const not = others.length > 0 ? `(?!${[...new Set(others)].join('|')})` : '';
  return new RegExp(`^${not}${textOf(template, `(${PART})`)}$`);
}

/** Whether a path can fit both templates, and the router then takes the first. */
function goesBefore(first: string, second: string): boolean {
  const [parts, others] = [partsOf(first), partsOf(second)];
  const differ = parts.findIndex((part, at) => isParameter(part) !== isParameter(others[at] ?? ''));
  const areOne = (part: string, at: number) => {
    const other = others[at] ?? '';
    return part === other || isParameter(part) || isParameter(other);
  };
  const mayFit = parts.length === others.length && parts.every(areOne);
  return mayFit && differ >= 0 && !isParameter(parts[differ] as string);
}

const textOf = (template: string, parameter: string) =>
  partsOf(template)
    .map((part) => `/${isParameter(part) ? parameter : part.replace(/[^\w-]/g, '\\$&')}`)
    .join('');
const partsOf = (template: string) => template.split('/').slice(1);
const isParameter = (part: string) => part.startsWith(':');
