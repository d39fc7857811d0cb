type Link = { operationId: string; parameters: Record<string, string>; description: string };

const COLLECTION = { collection: '$request.path.collection' };
const MADE_RECORD = { ...COLLECTION, id: '$response.body#/id' };
const READ_RECORD = { ...COLLECTION, id: '$request.path.id' };
const MADE_USER = { id: '$response.body#/id' };
const TAG = { 'header.if-match': '$response.header.ETag' };

/** Which routes an answer leads to, by operation and status: what a client can do with what it has just made or read. */
const LINKS: Record<string, Record<string, Record<string, string>>> = {
  'putCollection 201': {
    getCollection: COLLECTION,
    putCollection: { ...COLLECTION, ...TAG },
    deleteCollection: { ...COLLECTION, ...TAG },
    createRecord: COLLECTION,
    listRecords: COLLECTION,
    createRecords: COLLECTION,
    exportRecords: COLLECTION,
    getStats: COLLECTION,
  },
  'createRecord 201': {
    getRecord: MADE_RECORD,
    replaceRecord: { ...MADE_RECORD, ...TAG },
    patchRecord: { ...MADE_RECORD, ...TAG },
    deleteRecord: { ...MADE_RECORD, ...TAG },
  },
  'getRecord 200': {
    replaceRecord: { ...READ_RECORD, ...TAG },
    patchRecord: { ...READ_RECORD, ...TAG },
    deleteRecord: { ...READ_RECORD, ...TAG },
  },
  'register 201': { getUser: MADE_USER, updateUser: { ...MADE_USER, ...TAG }, deleteUser: { ...MADE_USER, ...TAG } },
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
