// k6 run load/reads.js: records by id, and lists.
import { options, read, setup, teardown } from './floodgate.js';

export { options, setup, teardown };

export default read;
