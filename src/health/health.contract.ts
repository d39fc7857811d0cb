import { contract } from '../../test/support/contract.js';

const anyone = { nothing: [200, 200, 200, 200] as const };

export default contract({
  subjects: {},
  operations: { getLiveness: anyone, getReadiness: anyone, getStartup: anyone, getMetrics: anyone },
});
