import { contract } from '../../test/support/contract.js';

export default contract({
  subjects: {},
  operations: {
    listDeadJobs: { nothing: [401, 403, 403, 200] },
  },
});
