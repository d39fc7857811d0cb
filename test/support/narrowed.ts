import { readFileSync } from 'node:fs';

/**
 * openapi.json, in which data is just any JSON so that clients can be generated from it, with what the server takes and
 * gives of such data in its place.
 */
export function narrowedDocument(reviver?: Parameters<typeof JSON.parse>[1]) {
  const document = JSON.parse(readFileSync('openapi.json', 'utf8'), reviver);
  Object.assign(document.components.schemas, JSON.parse(readFileSync('test/contract/data.schema.json', 'utf8')));
  return document;
}
