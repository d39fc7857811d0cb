import { must } from '../../test/support/answers.js';
import { contract } from '../../test/support/contract.js';

/** The statuses are those for nobody (no token), another user, the owner and an admin. */
export default contract({
  subjects: {
    one: async ({ 'the owner': owner }) => {
      const made = must(201, await owner.post('/api/v1/things', { name: 'first' }));
      return { values: { id: made.body.id } };
    },
  },
  operations: {
    createThing: { nothing: [401, 201, 201, 201] },
    listThings: { nothing: [401, 200, 200, 200] },
    getThing: { one: [401, 404, 200, 200] },
    replaceThing: { one: [401, 404, 200, 200] },
    patchThing: { one: [401, 404, 200, 200] },
    deleteThing: { one: [401, 404, 204, 204] },
  },
  shownElsewhere: { createThing: [409, 422], replaceThing: [409], patchThing: [409] },
});
