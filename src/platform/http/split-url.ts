/** Whether all percent-encoding in a text is valid UTF-8. */
export function canDecode(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The path and the query of a request's target. The query is '' for none, and may contain question marks. */
export function splitUrl(url: string): [string, string] {
  const query = url.indexOf('?');
  return query < 0 ? [url, ''] : [url.slice(0, query), url.slice(query + 1)];
}
