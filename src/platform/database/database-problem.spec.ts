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
])(
  'treats a name with several addresses, none of which accepts connections, as a passing failure: %s',
  async (_, all) => {
    const socket = connect({
      host: 'database',
      port: await freePort(),
      lookup: (_host, _how, found) => found(null, all),
    });
    const [error] = await once(socket, 'error');
    expect(error.errors).toHaveLength(ADDRESSES.length);
    expect(databaseProblem(error)).toMatchObject({ status: 503 });
  },
);

it('does not treat other errors as failures of a connection', () => {
  for (const error of [new AggregateError([new Error('a'), new Error('b')]), new TypeError('x is not a function')])
    expect(databaseProblem(error)).toBeUndefined();
});
