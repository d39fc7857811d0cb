/** Whether all of its percent-encoding is of UTF-8. */
export function canDecode(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The path of a request's target, and its query; which is '' for none, and may hold question marks of its own. */
export function splitUrl(url: string): [string, string] {
  const query = url.indexOf('?');
  return query < 0 ? [url, ''] : [url.slice(0, query), url.slice(query + 1)];
}
