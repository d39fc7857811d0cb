type Link = { operationId: string; parameters: Record<string, string>; description: string };

const COLLECTION = { collection: '$request.path.collection' };
const MADE = { id: '$response.body#/id' };
const READ = { id: '$request.path.id' };
const TAG = { 'header.if-match': '$response.header.ETag' };

/** The same parameters for each of some routes. */
const all = (parameters: Record<string, string>, ...to: string[]) =>
  Object.fromEntries(to.map((operationId) => [operationId, parameters]));

/** Which routes an answer leads to, by operation and status: what a client can do with what it has just made or read. */
const LINKS: Record<string, Record<string, Record<string, string>>> = {
  'putCollection 201': {
    getCollection: COLLECTION,
    ...all({ ...COLLECTION, ...TAG }, 'putCollection', 'deleteCollection'),
    ...all(COLLECTION, 'createRecord', 'listRecords', 'createRecords', 'exportRecords', 'getStats'),
  },
  'createRecord 201': {
    getRecord: { ...COLLECTION, ...MADE },
    ...all({ ...COLLECTION, ...MADE, ...TAG }, 'replaceRecord', 'patchRecord', 'deleteRecord'),
  },
  'getRecord 200': all({ ...COLLECTION, ...READ, ...TAG }, 'replaceRecord', 'patchRecord', 'deleteRecord'),
  'register 201': { getUser: MADE, ...all({ ...MADE, ...TAG }, 'updateUser', 'deleteUser') },
};

export function links(operationId: string, status: string): Record<string, Link> | undefined {
  const found = LINKS[`${operationId} ${status}`];
  if (!found) return undefined;
  return Object.fromEntries(
    Object.entries(found).map(([to, parameters]) => [
      to,
      { operationId: to, parameters, description: 'What the answer is about.' },
    ]),
  );
}
