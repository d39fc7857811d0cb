import { contract } from '../../test/support/contract.js';

export default contract({
  subjects: {},
  operations: {
    listDeadJobs: { nothing: [401, 403, 403, 200] },
    // No caller can make a job die: what becomes of one is in jobs.e2e.spec.ts.
    retryDeadJob: { nothing: [401, 403, 403, 404] },
  },
  shownElsewhere: { retryDeadJob: [200, 409] },
});
