import { must } from '../../test/support/answers.js';
import { contract } from '../../test/support/contract.js';

let count = 0;
const order = () => ({ number: `N-${++count}`, total: '12.50', lines: [{ article: 'pen', count: 5 }] });

/** The statuses are those for nobody (no token), another user, the owner and an admin. */
export default contract({
  subjects: {
    one: async ({ 'the owner': owner }) => {
      const made = must(201, await owner.post('/api/v1/orders', order()));
      return { values: { id: made.body.id } };
    },
  },
  operations: {
    createOrder: { nothing: [401, 201, 201, 201] },
    listOrders: { nothing: [401, 200, 200, 200] },
    getOrder: { one: [401, 404, 200, 200] },
    replaceOrder: { one: [401, 404, 200, 200] },
    patchOrder: { one: [401, 404, 200, 200] },
    deleteOrder: { one: [401, 404, 204, 204] },
  },
  bodies: { createOrder: order, replaceOrder: order },
  shownElsewhere: { createOrder: [409, 422], replaceOrder: [409], patchOrder: [409] },
});
