import { must } from '../../test/support/answers.js';
import { freshName, makeCollection, makeRecord } from '../../test/support/collections.js';
import { type Answers, type Clients, contract } from '../../test/support/contract.js';

const all = (status: number): Answers => [status, status, status, status];
/** Callers who may not read a private collection get 404. */
const reading = (status = 200) => ({
  'a private collection': [404, 404, status, status] as const,
  'a public collection': all(status),
});
const writing = (status: number) => ({
  'a private collection': [401, 404, status, status] as const,
  'a public collection': [401, 403, status, status] as const,
});

const collection =
  (visibility: 'private' | 'public') =>
  async ({ 'the owner': owner }: Clients) => {
    const made = await makeCollection(owner, visibility);
    const { id } = await makeRecord(owner, made, { mark: 'only-for-its-owner' });
    return { values: { collection: made.name, id } };
  };

const ID = '0198c0de-0000-7000-8000-000000000000';

/** A name that never has an address (RFC 6761). */
const URL_OF_NOBODY = 'https://hooks.invalid/';
const webhook =
  (visibility: 'private' | 'public') =>
  async ({ 'the owner': owner }: Clients) => {
    const { name, path } = await makeCollection(owner, visibility);
    const { body } = must(201, await owner.post(`${path}/webhooks`, { url: URL_OF_NOBODY }));
    return { values: { collection: name, id: body.id } };
  };
const onWebhook = (status: number) => ({
  'a webhook of a private collection': [401, 404, status, status] as const,
  'a webhook of a public collection': [401, 403, status, status] as const,
});

export default contract({
  subjects: {
    'a private collection': collection('private'),
    'a public collection': collection('public'),
    'a webhook of a private collection': webhook('private'),
    'a webhook of a public collection': webhook('public'),
    'a new collection': async () => ({ isNew: true, values: { collection: freshName() } }),
  },
  operations: {
    listCollections: { nothing: all(200) },
    getCollection: reading(),
    // To a caller who may not read it, a private collection is a taken name without a version to match.
    putCollection: {
      'a private collection': [401, 412, 200, 200],
      'a public collection': [401, 403, 200, 200],
      'a new collection': [401, 201, 201, 201],
    },
    deleteCollection: writing(204),

    listRecords: reading(),
    getRecord: reading(),
    exportRecords: reading(),
    watchRecords: reading(),
    getStats: reading(),
    createRecord: writing(201),
    createRecords: writing(200),
    replaceRecord: writing(200),
    patchRecord: writing(200),
    deleteRecord: writing(204),

    createRecordWebhook: writing(201),
    listRecordWebhooks: writing(200),
    getRecordWebhook: onWebhook(200),
    patchRecordWebhook: onWebhook(200),
    rotateRecordWebhook: onWebhook(200),
    deleteRecordWebhook: onWebhook(204),
  },
  bodies: { createRecordWebhook: () => ({ url: URL_OF_NOBODY }) },
  // The collection is checked under its row lock, after the body was read.
  behindTheBody: { putCollection: [403, 412] },
  shownElsewhere: {
    putCollection: [409],
    createRecord: [409, 422],
    createRecords: [409, 422],
    createRecordWebhook: [409, 422],
  },
  texts: {
    'collection.schema.ts': ['flights-1'],
    'records.controller.ts': [ID],
  },
});
