import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';

/**
 * Makes stack traces of a bundle name the lines in src. The source map is read when the first stack trace is made:
 * node --enable-source-maps would hold it in memory from the start, 11 MiB.
 * @param bundle the file's path; without a map beside it, nothing is changed
 */
export function nameSources(bundle: string): void {
  const file = `${bundle}.map`;
  let map: SourceMap | undefined;
  const place = (site: NodeJS.CallSite): string => {
    const text = String(site);
    if (site.getFileName() !== bundle) return text;
    map ??= new SourceMap(JSON.parse(readFileSync(file, 'utf8')));
    const entry = map.findEntry((site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1);
    if (!('originalSource' in entry)) return text;
    const isOwn = entry.originalSource.startsWith('../src/');
    const source = entry.originalSource.replace(/^(\.\.\/)+/, '');
    return text.replace(
      /[^\s(]+:\d+:\d+/,
      isOwn ? `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}` : source,
    );
  };
  if (!existsSync(file)) return;
  Error.prepareStackTrace = (error, sites) =>
    [String(error), ...sites.map((site) => `    at ${place(site)}`)].join('\n');
}
