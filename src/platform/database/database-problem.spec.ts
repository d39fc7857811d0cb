import { once } from 'node:events';
import { connect } from 'node:net';
import { freePort } from '../../../scripts/embedded-postgres.js';
import { databaseProblem } from './database-problem.js';

const ADDRESSES = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

it.each([
  ['IPv4 first', ADDRESSES],
  ['IPv6 first', [...ADDRESSES].reverse()],
])('takes a name with several addresses, at none of which anybody listens, for one that passes: %s', async (_, all) => {
  const socket = connect({
    host: 'database',
    port: await freePort(),
    lookup: (_host, _how, found) => found(null, all),
  });
  const [error] = await once(socket, 'error');
  expect(error.errors).toHaveLength(ADDRESSES.length);
  expect(databaseProblem(error)).toMatchObject({ status: 503 });
});

it('takes what is no failure of a connection for none', () => {
  for (const error of [new AggregateError([new Error('a'), new Error('b')]), new TypeError('x is not a function')])
    expect(databaseProblem(error)).toBeUndefined();
});
