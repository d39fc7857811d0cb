const COLLECTION = { collection: '$request.path.collection' };
const MADE = { id: '$response.body#/id' };
const READ = { id: '$request.path.id' };
const TAG = { 'header.if-match': '$response.header.ETag' };

const to = (parameters: Record<string, string>, ...operations: string[]) =>
  Object.fromEntries(
    operations.map((operationId) => [
      operationId,
      { operationId, parameters, description: 'What the answer is about.' },
    ]),
  );

/** Which routes an answer leads to, by operation and status: what a client can do with what it has just made or read. */
export const LINKS: Partial<Record<string, object>> = {
  'putCollection 201': {
    ...to(COLLECTION, 'getCollection'),
    ...to({ ...COLLECTION, ...TAG }, 'putCollection', 'deleteCollection'),
    ...to(COLLECTION, 'createRecord', 'listRecords', 'createRecords', 'exportRecords', 'getStats'),
  },
  'createRecord 201': {
    ...to({ ...COLLECTION, ...MADE }, 'getRecord'),
    ...to({ ...COLLECTION, ...MADE, ...TAG }, 'replaceRecord', 'patchRecord', 'deleteRecord'),
  },
  'getRecord 200': to({ ...COLLECTION, ...READ, ...TAG }, 'replaceRecord', 'patchRecord', 'deleteRecord'),
  'createRecordWebhook 201': {
    ...to({ ...COLLECTION, ...MADE }, 'getRecordWebhook'),
    ...to({ ...COLLECTION, ...MADE, ...TAG }, 'patchRecordWebhook', 'rotateRecordWebhook', 'deleteRecordWebhook'),
  },
  'register 201': { ...to(MADE, 'getUser'), ...to({ ...MADE, ...TAG }, 'updateUser', 'deleteUser') },
};
