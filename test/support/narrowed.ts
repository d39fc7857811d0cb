import { readFileSync } from 'node:fs';

/**
 * openapi.json with the schema of data that the server really accepts and
 * returns; the document itself says any JSON, so that clients can be generated from it.
 */
export function narrowedDocument(reviver?: Parameters<typeof JSON.parse>[1]) {
  const document = JSON.parse(readFileSync('openapi.json', 'utf8'), reviver);
  Object.assign(document.components.schemas, JSON.parse(readFileSync('test/contract/data.schema.json', 'utf8')));
  return document;
}
