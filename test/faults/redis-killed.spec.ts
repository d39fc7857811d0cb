import { survive, untilRedis, WITHOUT } from '../support/redis-faults.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas();
}, 60_000);
afterAll(() => two?.close());

row(1, '', () =>
  survive(two, {
    begin: () => two.redis.kill(),
    meanwhile: () => Promise.all([two.here, two.there].map((one) => untilRedis(WITHOUT, one))),
    end: () => two.redis.start(),
  }),
);
