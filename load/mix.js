// k6 run load/mix.js: nine reads for each new record.
import { options, read, setup, teardown, write } from './floodgate.js';

export { options, setup, teardown };

export default function (data) {
  if (Math.random() < 0.1) write(data);
  else read(data);
}
