import { splitUrl } from './split-url.js';

/** A Link header to what comes next (RFC 8288): the same URL with another value of one parameter. */
export function nextLink(url: string, parameter: string, value: string): string {
  const [path, query] = splitUrl(url);
  const parameters = new URLSearchParams(query);
  parameters.set(parameter, value);
  return `<${path}?${parameters}>; rel="next"`;
}
