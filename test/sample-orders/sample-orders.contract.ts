import { must } from '../../test/support/answers.js';
import { contract } from '../../test/support/contract.js';

let count = 0;
const order = () => ({ number: `N-${++count}`, total: '12.50', lines: [{ article: 'pen', count: 5 }] });
const webhook = () => ({ url: 'https://hooks.invalid/' });

/** The statuses are those for nobody (no token), another user, the owner and an admin. */
export default contract({
  subjects: {
    one: async ({ 'the owner': owner }) => {
      const made = must(201, await owner.post('/api/v1/sample-orders', order()));
      return { values: { id: made.body.id } };
    },
    // Of a new user, since nobody may have more than 20.
    webhook: async ({ newUser }) => {
      const owner = await newUser();
      const made = must(201, await owner.post('/api/v1/sample-orders/webhooks', webhook()));
      return { owner, values: { id: made.body.id } };
    },
  },
  operations: {
    createSampleOrder: { nothing: [401, 201, 201, 201] },
    createSampleOrders: { nothing: [401, 200, 200, 200] },
    listSampleOrders: { nothing: [401, 200, 200, 200] },
    exportSampleOrders: { nothing: [401, 200, 200, 200] },
    watchSampleOrders: { nothing: [401, 200, 200, 200] },
    getSampleOrder: { one: [401, 404, 200, 200] },
    replaceSampleOrder: { one: [401, 404, 200, 200] },
    patchSampleOrder: { one: [401, 404, 200, 200] },
    deleteSampleOrder: { one: [401, 404, 204, 204] },
    createSampleOrderWebhook: { nothing: [401, 201, 201, 201] },
    listSampleOrderWebhooks: { nothing: [401, 200, 200, 200] },
    getSampleOrderWebhook: { webhook: [401, 404, 200, 404] },
    patchSampleOrderWebhook: { webhook: [401, 404, 200, 404] },
    rotateSampleOrderWebhook: { webhook: [401, 404, 200, 404] },
    deleteSampleOrderWebhook: { webhook: [401, 404, 204, 404] },
  },
  bodies: { createSampleOrder: order, replaceSampleOrder: order, createSampleOrderWebhook: webhook },
  shownElsewhere: {
    createSampleOrder: [409, 422],
    createSampleOrders: [409, 422],
    replaceSampleOrder: [409],
    patchSampleOrder: [409],
    createSampleOrderWebhook: [409, 422],
  },
});
