// k6 run load/writes.js: new records.
import { options, setup, teardown, write } from './floodgate.js';

export { options, setup, teardown };

export default write;
